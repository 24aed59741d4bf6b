/* The sandbox's only process: it holds the pod's namespaces, reaps orphans and ends when told to. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void down(int number) {
  (void)number;
  _exit(0);
}

static void reap(int number) {
  (void)number;
  while (waitpid(-1, 0, WNOHANG) > 0) {
  }
}

int main(void) {
  signal(SIGINT, down);
  signal(SIGTERM, down);
  signal(SIGCHLD, reap);
  for (;;) pause();
}
