"""Clusters: their files, what AWS needs beforehand, jobs sent to a head from elsewhere, the check before trial 1."""
