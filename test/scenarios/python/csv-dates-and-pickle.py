import csv, io, configparser, datetime, calendar, random, pickle, copy
out = io.StringIO()
csv.writer(out).writerows([["a", 'say "hi"', "x,y"], [1, None, 2.5]])
print(repr(out.getvalue()), list(csv.DictReader(io.StringIO("k,v\n1,2\n3,4\n"))))
config = configparser.ConfigParser(); config.read_string("[main]\npath = %(home)s/x\nhome = /h\n")
print(config["main"]["path"], datetime.date(2024, 2, 29) + datetime.timedelta(days=366), calendar.isleap(2100))
print(datetime.datetime.fromisoformat("2024-05-06T07:08:09+02:00").astimezone(datetime.timezone.utc))
random.seed(42)
print(random.randint(0, 10 ** 6), random.random(), random.sample(range(100), 5), random.choice("abc"))
value = {"self": [1, (2, {3})]}
value["loop"] = value
twin = pickle.loads(pickle.dumps(value))
print(twin["loop"] is twin, copy.deepcopy(value)["self"] == value["self"])
