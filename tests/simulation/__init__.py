"""The service's own code in a simulated world: virtual time, a modelled database, nodes that die and freeze.

Everything that decides is the real thing: submission, journal with its batches and folds, dispatcher, claimer, runner,
retries, upkeep, cancellation, acknowledgements, the Resource Manager and the streams. Simulated is what surrounds it:
the event loop and its clock (loop.py), the clocks and the dice (surroundings.py), Postgres (database.py) and the lossy
way to it (line.py, storage.py), the handlers (handlers.py), the submitters and their network (submitter.py, network.py)
and what goes wrong (faults.py). world.py puts it together. A run is its seed and nothing else:
`python -m tests.simulation SEED` tells the story of one.
"""
