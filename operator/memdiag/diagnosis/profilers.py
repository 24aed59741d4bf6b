"""Profilers: how each runtime shows what holds its memory, in commands that its own documentation names.

Sources: go.dev/doc/diagnostics and runtime/pprof; `jcmd help` of OpenJDK 21 and its guide to native memory tracking;
`node --help` of Node.js 20; the documentation of tracemalloc, memray, py-spy, dotnet-gcdump, dotnet-counters, jemalloc
(prof), heaptrack, valgrind; `redis-cli MEMORY HELP`; PostgreSQL's chapter on system views (pg_backend_memory_contexts).
"""

from __future__ import annotations

from collections.abc import Mapping

from memdiag.diagnosis.runtime import Runtime

HEAP: Mapping[Runtime | None, tuple[str, ...]] = {
    Runtime.GO: (
        (
            "Take two heap profiles some minutes apart (net/http/pprof: /debug/pprof/heap) and compare them: "
            "`go tool pprof -inuse_space -diff_base first.pb.gz second.pb.gz`."
        ),
        "Look for goroutines that never end: /debug/pprof/goroutine?debug=1.",
        "Memory that the heap profile does not show is C's (cgo) or in mappings.",
    ),
    Runtime.JVM: (
        (
            "Take two histograms some minutes apart: `jcmd 1 GC.class_histogram`; `jcmd 1 GC.heap_info` shows "
            "how full the heap is."
        ),
        (
            "Take a dump before the kernel kills: `jcmd 1 GC.heap_dump /tmp/h.hprof`. -XX:+HeapDumpOnOutOfMemoryError "
            "writes none when the kernel kills, only when the heap's own cap is reached."
        ),
        (
            "Set the heap's cap below the limit (-XX:MaxRAMPercentage=70): a heap leak ends in an OutOfMemoryError "
            "that says so."
        ),
    ),
    Runtime.NODE: (
        "Log process.memoryUsage() each minute: heapUsed is JavaScript, external and arrayBuffers are Buffers.",
        (
            "Start with --heapsnapshot-near-heap-limit=2 and --max-old-space-size below the limit, or take snapshots "
            "by --heapsnapshot-signal=SIGUSR2, and compare two in the DevTools."
        ),
    ),
    Runtime.DOTNET: (
        "Take two dumps some minutes apart and compare: `dotnet-gcdump collect -p 1`.",
        "`dotnet-counters monitor -p 1` shows the GC heap beside the working set: a gap that grows is not heap.",
    ),
    Runtime.PYTHON: (
        (
            "Attach memray: `memray attach -o out.bin PID`, then `memray flamegraph --leaks out.bin`; --native shows C "
            "extensions."
        ),
        "Or start with PYTHONTRACEMALLOC=10 and compare two tracemalloc snapshots (compare_to).",
        (
            "As a stop-gap let workers start anew after a number of requests (gunicorn: --max-requests with "
            "--max-requests-jitter; Celery: --max-memory-per-child)."
        ),
    ),
    Runtime.RUBY: (
        "Compare two dumps of ObjectSpace.dump_all (objspace), taken some minutes apart.",
        "Try MALLOC_ARENA_MAX=2 or jemalloc first: with many threads much of the growth may be malloc's arenas.",
    ),
    Runtime.PHP: (
        "Log memory_get_peak_usage(true) of each request, and set memory_limit below the limit over the workers.",
        "As a stop-gap let workers start anew: pm.max_requests in the pool's configuration.",
    ),
    Runtime.ERLANG: (
        "See erlang:memory() twice: processes, binary or ets; recon:bin_leak(10) for binaries that are held.",
        "recon_alloc:fragmentation(current) shows memory that the allocators hold back.",
    ),
    Runtime.REDIS: (
        (
            "See which keys hold memory: `redis-cli --memkeys`, `redis-cli MEMORY DOCTOR`, `redis-cli INFO memory` "
            "(mem_fragmentation_ratio above 1.5 is fragmentation)."
        ),
        "Set maxmemory to about three quarters of the limit with a policy (allkeys-lru, volatile-ttl), or expire keys.",
        "See clients that do not read: `redis-cli CLIENT LIST` (omem).",
    ),
    Runtime.POSTGRES: (
        (
            "Find the backend that grows (`ps -eo pid,rss,args --sort=-rss`) and have it log its memory: "
            "SELECT pg_log_backend_memory_contexts(pid)."
        ),
        "Within a session: SELECT * FROM pg_backend_memory_contexts ORDER BY used_bytes DESC LIMIT 10.",
        "work_mem counts for each sort or hash of each connection: lower it, or max_connections, or use a pooler.",
    ),
    None: (
        (
            "Take heap profiles and compare two: C, C++ and Rust by heaptrack (`heaptrack -p PID`), jemalloc built "
            "with --enable-prof (MALLOC_CONF=prof:true,lg_prof_interval:30 and `jeprof --base`), or valgrind massif."
        ),
        "Go: /debug/pprof/heap and `go tool pprof -diff_base`.",
        "See what the largest mappings are, twice: `pmap -x PID` or /proc/PID/smaps_rollup.",
    ),
}
"""What holds the memory of the runtime's heap; None is a program whose runtime is not known."""

OUTSIDE: Mapping[Runtime | None, tuple[str, ...]] = {
    Runtime.JVM: (
        (
            "Start with -XX:NativeMemoryTracking=summary, then `jcmd 1 VM.native_memory baseline` and, minutes later, "
            "`jcmd 1 VM.native_memory summary.diff`: Thread, Class, Internal or Other (direct buffers)."
        ),
        (
            "If that does not grow, it is malloc by native code: async-profiler 4 finds what is not freed "
            "(`asprof -e nativemem -d 600 -f out.jfr 1`, then `jfrconv --total --nativemem --leak out.jfr out.html`)."
        ),
        (
            "Bound direct buffers by -XX:MaxDirectMemorySize (else as large as the heap's cap) and classes by "
            "-XX:MaxMetaspaceSize."
        ),
        "Rule out malloc's arenas: MALLOC_ARENA_MAX=2, or `jcmd 1 System.trim_native_heap` gives memory back at once.",
    ),
    Runtime.NODE: (
        "Log process.memoryUsage() each minute: external and arrayBuffers are Buffers, the rest of rss is native.",
        "Look for Buffers and streams that are kept: lists, Maps, listeners, sockets whose peer does not read.",
        "Native add-ons: compare a run under heaptrack, or with jemalloc (LD_PRELOAD).",
    ),
    Runtime.DOTNET: (
        "`dotnet-counters monitor -p 1`: the working set grows and the GC heap does not, so it is native memory.",
        (
            "Look for what is not disposed (streams, images, compiled regular expressions, HttpClient), and for native "
            "libraries (heaptrack -p PID)."
        ),
    ),
    None: (
        "Compare a run under heaptrack (`heaptrack -p PID`), or with jemalloc built with --enable-prof.",
        "See which mappings grow: `pmap -x PID`, twice, some minutes apart.",
    ),
}
"""What holds memory outside the runtime's heap."""

TASKS: Mapping[Runtime | None, str] = {
    Runtime.JVM: "See what the threads wait for: `jcmd 1 Thread.print`, counted by name.",
    Runtime.PYTHON: "See what the threads wait for: `py-spy dump --pid 1`.",
    Runtime.GO: "See what holds threads: /debug/pprof/threadcreate, /debug/pprof/goroutine?debug=2 (cgo, file reads).",
    Runtime.NODE: "See what starts threads: worker_threads that are never terminated, native add-ons.",
    Runtime.DOTNET: "See what the threads wait for: `dotnet-stack report -p 1`.",
    None: "See what the threads wait for: `gdb -p PID -batch -ex 'thread apply all bt'`; /proc/PID/task/*/comm.",
}
"""How to see what threads do."""
