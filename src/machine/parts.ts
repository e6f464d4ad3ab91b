/** Every part of the system whose loading declares something: redo steps, task resources, file kinds. */

import "../kernel/job.ts";
import "../linux/proc-source.ts";
import "../linux/table.ts";
import "../linux/task-end.ts";
import "./host-operations.ts";
import "../servers/vfs/host-folder.ts";
