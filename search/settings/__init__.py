"""What a space file sets beside its params: how a study is searched, and by what its trials are compared."""
