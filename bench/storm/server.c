/* What runs in a container of the storm: server KILLS
 *
 * Waits for a byte on standard input, then starts one worker after another that takes memory until it is killed, and
 * writes `SECONDS PID STATUS` to descriptor 3 for each: when and how it ended (a shell's number), and the server's pid.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 1 << 18, NOTES = 3 };

static void eat(void) {
    /* populated by the kernel: no time goes into faults */
    while (mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0) != MAP_FAILED) {
    }
    _exit(1);
}

int main(int argc, char **argv) {
    char go;
    if (argc != 2 || read(STDIN_FILENO, &go, 1) != 1) return 2;
    for (int kills = atoi(argv[1]); kills > 0; kills--) {
        int status;
        struct timespec now;
        pid_t pid = fork();
        if (pid == 0) eat();
        if (pid < 0 || waitpid(pid, &status, 0) != pid) return 1;
        clock_gettime(CLOCK_REALTIME, &now);
        dprintf(NOTES, "%ld.%06ld %d %d\n", (long)now.tv_sec, now.tv_nsec / 1000, getpid(),
                WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
    }
    for (;;) pause();
}
