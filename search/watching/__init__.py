"""What people look at while studies run: the page of a study, all studies, some side by side."""
