"""The run directory: how a run is configured, kept, found again and gone on with.

What it holds is written in this order, so that a kill at any moment loses at most what came
after the last checkpoint, and nothing half-written looks whole:

1. `.lock` is held from before the first look to the end of the process (`run_dir`).
2. Nothing is changed before all refusals are through. Then damaged checkpoints are renamed,
   leftovers of saves removed, and evaluations of later steps forgotten; config.json is replaced.
3. metrics.jsonl is cut to the step that the run goes on from, and TensorBoard told to forget the
   rest (`run_log`); from then on both are appended to, a line at a time.
4. A checkpoint is written under a temporary name and renamed, its index last; only then does the
   oldest go (`checkpoints`). A step's log line comes before its checkpoint.
5. Where a step is evaluated: its checkpoint first, then best/ with its checkpoint and behind it
   score.json, then the log and curves.png, and last validation.json. A step that is not in
   validation.json is evaluated again, so a kill between these misses nothing (`history`).
"""
