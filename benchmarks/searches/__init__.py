"""The yardstick: which search finds the better config at equal cost, replayed on curves that are there already.

README.md describes problems, costs and scores. Half of the problems are held out: whoever changes the search looks at
the others only. Of a folder's LCBench tasks, in the order of their numbers, and of its tables, in the order of their
names, every second one (the 2nd, the 4th, ...) is held out; the curves of our own networks on GTZAN are held out all.
"""
