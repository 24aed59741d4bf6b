/* The eater: takes memory in a cgroup until the kernel kills it, or holds some and waits. Also reads the kernel's log.
 *
 *   eat [-c CGROUP] [-n NAME] [-a ADJUSTMENT] [-u UID] [-m NODE] [-h MIB | -f FILE] [-k] [-w MILLISECONDS]
 *   eat -K        print every record of /dev/kmsg as it is read
 *   eat -S        print the ring as syslog(2) gives it
 *
 * -h holds so many MiB and sleeps; -f fills a file instead of a heap; -m binds all memory to one NUMA node; -k lets a
 * child eat while the parent lives, and prints `PID STATUS` of the child; -w waits before the first byte.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MIB = 1 << 20, PAGE = 4096, RECORD = 8192, BIND = 2, READ_ALL = 3, SIZE_BUFFER = 10 };

static void die(const char *what) {
    fprintf(stderr, "eat: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) die(path);
    close(fd);
}

static int kmsg(void) {
    static char record[RECORD];
    int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
    if (fd < 0) die("/dev/kmsg");
    for (;;) {
        ssize_t size = read(fd, record, sizeof record);
        if (size < 0 && errno == EPIPE) continue;
        if (size <= 0) return size < 0 && errno != EAGAIN;
        fwrite(record, 1, (size_t)size, stdout);
    }
}

static int ring(void) {
    int size = klogctl(SIZE_BUFFER, NULL, 0);
    char *text = malloc((size_t)size);
    if (size < 0 || !text) die("klogctl");
    size = klogctl(READ_ALL, text, size);
    if (size < 0) die("klogctl");
    return fwrite(text, 1, (size_t)size, stdout) != (size_t)size;
}

static void eat(long hold, const char *file) {
    int fd = file ? open(file, O_WRONLY | O_CREAT, 0600) : -1;
    if (file && fd < 0) die(file);
    static char full[MIB];
    memset(full, 'x', sizeof full);
    for (long taken = 0; hold < 0 || taken < hold; taken++) {
        if (file) {
            if (write(fd, full, sizeof full) < 0) die(file);
            continue;
        }
        volatile char *part = malloc(MIB);
        for (size_t at = 0; part && at < MIB; at += PAGE) part[at] = 1;
    }
    for (;;) pause();
}

int main(int argc, char **argv) {
    const char *name = NULL, *file = NULL;
    long hold = -1;
    int child = 0, option;
    while ((option = getopt(argc, argv, "c:n:a:u:m:h:f:kw:KS")) != -1) {
        char path[RECORD];
        unsigned long nodes;
        switch (option) {
        case 'K': return kmsg();
        case 'S': return ring();
        case 'c':
            snprintf(path, sizeof path, "%s/cgroup.procs", optarg);
            put(path, "0");
            break;
        case 'n': name = optarg; break;
        case 'a': put("/proc/self/oom_score_adj", optarg); break;
        case 'u': if (setuid((uid_t)atol(optarg))) die("setuid"); break;
        case 'm':
            nodes = 1UL << atol(optarg);
            if (syscall(SYS_set_mempolicy, BIND, &nodes, sizeof nodes * 8)) die("set_mempolicy");
            break;
        case 'h': hold = atol(optarg); break;
        case 'f': file = optarg; break;
        case 'k': child = 1; break;
        case 'w': usleep((useconds_t)atol(optarg) * 1000); break;
        default: return 2;
        }
    }
    if (name && prctl(PR_SET_NAME, name, 0, 0, 0)) die("prctl");
    if (child) {
        int status;
        pid_t pid = fork();
        if (pid == 0) eat(hold, file);
        if (pid < 0 || waitpid(pid, &status, 0) != pid) die("child");
        printf("%d %d\n", pid, WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
        return 0;
    }
    eat(hold, file);
    return 0;
}
