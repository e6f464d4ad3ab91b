/** What uname(2) and /proc call the kernel. */

export const KERNEL_RELEASE = "6.12.0-coppice";
export const KERNEL_VERSION = "#1 SMP PREEMPT_DYNAMIC Coppice";
