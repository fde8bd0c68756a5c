"""Measurements that are run by hand or by `make bench`; their figures go into LOG.md."""
