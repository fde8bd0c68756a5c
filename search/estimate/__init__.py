"""What is known of a study beforehand: how its trials are packed, how long they take, how many networks there are."""
