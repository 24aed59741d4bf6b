/* What runs in a container of the storm: server KILLS
 *
 * Waits for a byte on standard input, then starts one worker after another that takes memory until it is killed, and
 * writes `SECONDS PID STATUS` to descriptor 3 for each: when and how it ended (a shell's number), and the server's pid.
 * The kernel may kill the workers only: a server that is killed in place of one ends the storm in its container.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 1 << 18, NOTES = 3 };

static int may_kill(const char *adjustment) {
    int file = open("/proc/self/oom_score_adj", O_WRONLY);
    int failed = file < 0 || dprintf(file, "%s", adjustment) < 0;
    if (file >= 0) close(file);
    return !failed;
}

static void eat(void) {
    if (!may_kill("1000")) _exit(1);
    /* populated by the kernel: no time goes into faults */
    while (mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0) != MAP_FAILED) {
    }
    _exit(1);
}

int main(int argc, char **argv) {
    char go;
    if (argc != 2 || !may_kill("-1000") || read(STDIN_FILENO, &go, 1) != 1) return 2;
    for (int kills = atoi(argv[1]); kills > 0; kills--) {
        int status;
        struct timespec now;
        pid_t pid;
        /* the memory of the worker before may be charged for a moment still */
        while ((pid = fork()) < 0 && errno == ENOMEM) usleep(1000);
        if (pid == 0) eat();
        if (pid < 0 || waitpid(pid, &status, 0) != pid) return 1;
        clock_gettime(CLOCK_REALTIME, &now);
        dprintf(NOTES, "%ld.%06ld %d %d\n", (long)now.tv_sec, now.tv_nsec / 1000, getpid(),
                WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
    }
    for (;;) pause();
}
