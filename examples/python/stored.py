"""A sandbox that outlives the object, the process and the run."""

from microsandbox import Sandbox, audit, list_sandboxes, remove_sandbox

with Sandbox(
    name="builder",
    detached=True,
    stored=True,
    labels={"team": "web"},
    idle_timeout=600,
    max_duration=3600,
):
    pass  # leaving the block gives the object back; the sandbox goes on, also after this process

with Sandbox.open("builder") as builder:  # from any process of the same user
    builder.stop()
    builder.wait()

for entry in list_sandboxes(stopped=True, labels={"team": "web"}):
    print(f"{entry.name}: {entry.state.name}, {entry.last_cause!r}")

with Sandbox.start("builder") as builder:  # attached this time: the end of the block ends it
    print(builder.run(["echo", "again"]).text, end="")
remove_sandbox("builder")
print("orphans:", audit().orphans)
