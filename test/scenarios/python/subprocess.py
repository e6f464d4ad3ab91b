import subprocess, sys, os
run = subprocess.run
print(run(["echo", "hello"], capture_output=True, text=True))
print(run("echo out; echo err >&2; exit 3", shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout)
print(run(["tr", "a-z", "A-Z"], input=b"typed " * 5, stdout=-1).stdout)
print(run(["sh", "-c", "kill -TERM $$"]).returncode)
try: run(["false"], check=True)
except subprocess.CalledProcessError as error: print(error)
print(run("/no/such/program 2> /dev/null", shell=True).returncode)
try: run(["sleep", "10"], timeout=0.2)
except subprocess.TimeoutExpired as error: print(error.cmd)
print(subprocess.check_output(["env"], env={"ONLY": "this"}), subprocess.getstatusoutput("exit 4"))
print(run(["pwd"], cwd="/usr", capture_output=True).stdout, subprocess.DEVNULL)
