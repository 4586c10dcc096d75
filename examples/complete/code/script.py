import os

print(f"computing in {os.uname().sysname} with {os.cpu_count()} CPUs")
with open("/tmp/results.json", "w") as results:
    print('{"answer": 42}', file=results)
