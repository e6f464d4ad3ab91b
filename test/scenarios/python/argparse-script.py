import argparse, sys, logging
parser = argparse.ArgumentParser(prog="tool", description="A tool.")
parser.add_argument("-n", "--number", type=int, default=3, help="how many")
parser.add_argument("names", nargs="*")
print(parser.parse_args(["-n", "5", "a", "b"]))
parser.print_help()
logging.basicConfig(format="%(levelname)s:%(name)s:%(message)s", stream=sys.stdout)
logging.getLogger("log").warning("a warning %d", 7)
parser.parse_args(["--number", "x"])
