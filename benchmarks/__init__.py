"""Side-by-side measurements, run by hand: ours, a baseline in the same run, the limit where one can be counted."""
