"""One virtual machine as a QEMU process: what it shall be (spec, argv: pure), and living with it (process, monitor).

VMI -> `spec.build_machine` -> `machine.Machine` -> `argv.build_argv` -> `process.start`; then `monitor` over QMP.
"""
