"""The command line of benchmarks.gtzan_curves.record. Worker processes cannot import a `__main__`."""

from benchmarks.gtzan_curves.record import main

if __name__ == "__main__":
    main()
