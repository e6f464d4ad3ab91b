// The smallest program: one write, one exit. Own entry point, no runtime. Exit status 42.
__attribute__((naked, noreturn)) void _start(void) {
#if defined(__riscv)
  __asm__(
      "li a0, 1\nlla a1, 9f\nli a2, 13\nli a7, 64\necall\n"
      "li a0, 42\nli a7, 94\necall\n"
      ".pushsection .rodata\n9: .ascii \"hello, world\\n\"\n.popsection\n");
#else
  __asm__(
      "mov $1, %edi\nlea 9f(%rip), %rsi\nmov $13, %edx\nmov $1, %eax\nsyscall\n"
      "mov $42, %edi\nmov $231, %eax\nsyscall\n"
      "9: .ascii \"hello, world\\n\"\n");
#endif
}
