// The small static program that fork-exec starts: it only ends.
#include "../../test/guest/lib/rt.h"

int main(void) { return 0; }
