/** Every part of the system whose loading declares something: redo steps, task resources, file kinds. */

import "../kernel/job.ts";
import "../linux/table.ts";
import "../linux/task-end.ts";
import "./host-operations.ts";
