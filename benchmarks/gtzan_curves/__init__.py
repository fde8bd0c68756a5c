"""Learning curves of small networks on real GTZAN, to judge searches by. README.md describes them."""
