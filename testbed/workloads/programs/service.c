/* A small service on UDP whose use of memory is known: `service MODE key=value...`, sizes in bytes, times in seconds.
   It answers each datagram after it did what its mode says. */
#define _GNU_SOURCE
#include <alloca.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PORT = 7000, MOST_HELD = 65536 };

static char **words;
static int count_of_words;

static double get(const char *name, double otherwise) {
    size_t length = strlen(name);
    for (int i = 2; i < count_of_words; i++)
        if (!strncmp(words[i], name, length) && words[i][length] == '=') return atof(words[i] + length + 1);
    return otherwise;
}

static const char *text(const char *name) {
    size_t length = strlen(name);
    for (int i = 2; i < count_of_words; i++)
        if (!strncmp(words[i], name, length) && words[i][length] == '=') return words[i] + length + 1;
    return "";
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* a page fault costs some hundred times more in User-Mode Linux than on a machine; populated pages cost little */
static void fill(char *memory, size_t size) {
    uintptr_t first = ((uintptr_t)memory + 4095) & ~4095ul, last = ((uintptr_t)memory + size) & ~4095ul;
    if (last > first) madvise((void *)first, last - first, MADV_POPULATE_WRITE);
    memset(memory, 'x', size);
}

static char *filled(double size) {
    char *memory = malloc((size_t)size + 1);
    if (memory) fill(memory, (size_t)size + 1);
    return memory;
}

static double some(double size) { return size * (0.5 + drand48()); }

static struct { double until; char *memory; size_t size; } held[MOST_HELD];
static int count_of_held;

/* straight from the kernel and back to it: no allocator in between keeps what was freed */
static void hold(double size, double seconds) {
    if (count_of_held == MOST_HELD) return;
    char *memory = mmap(NULL, (size_t)size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    fill(memory, (size_t)size + 1);
    held[count_of_held].until = now() + seconds;
    held[count_of_held].size = (size_t)size + 1;
    held[count_of_held++].memory = memory;
}

static void release(void) {
    double t = now();
    int left = 0;
    for (int i = 0; i < count_of_held; i++) {
        if (held[i].until > t) held[left++] = held[i];
        else munmap(held[i].memory, held[i].size);
    }
    count_of_held = left;
}

static void nothing(void) {}
static void sessions(void) { hold(some(get("each", 0)), get("hold", 1)); }
/* what a request needs beside what the mode is about */
static void answer(void) { if (get("request", 0)) hold(some(get("request", 0)), 1); }
static void keep(void) { filled(some(get("each", 0))); }

static void keep_at_tick(void) {
    release();
    keep();
}

/* buffers that stand side by side are cut to their first bytes: the holes between are too small for any later one */
static void fragments(void) {
    char *buffers[64];
    int count = (int)get("count", 2);
    for (int i = 0; i < count; i++) buffers[i] = filled(get("each", 0));
    for (int i = 0; i < count; i++)
        if (!realloc(buffers[i], 64)) return;
}

/* leaves a file for each request in a tmpfs */
static void scratch(void) {
    static int count;
    size_t size = (size_t)some(get("each", 0));
    char path[64], *data = filled((double)size);
    snprintf(path, sizeof path, "/media/%d", count++);
    int file = open(path, O_WRONLY | O_CREAT, 0600);
    if (file < 0 || write(file, data, size) < 0) exit(4);
    close(file);
    free(data);
}

/* keeps the answer to each of a bounded set of keys, asked for at random or (`scan`) in order */
static void cache(void) {
    static char *answers[MOST_HELD];
    static int count;
    int keys = (int)get("keys", 1), key = get("scan", 0) ? count++ % keys : (int)(drand48() * keys);
    if (!answers[key]) answers[key] = filled(get("each", 0));
    answer();
}

static void late(void) {
    static double start;
    if (!start) start = now();
    if (now() - start > get("idle", 0)) keep();
}

static void *wait_for_ever(void *stack_use) {
    size_t size = (size_t)(long)stack_use;
    char *used = alloca(size);
    memset(used, 'x', size);
    for (;;) pause();
    return used;
}

static void threads(void) {
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 1 << 20);
    pthread_create(&thread, &attributes, wait_for_ever, (void *)(long)some(get("each", 0)));
}

static void processes(void) {
    if (drand48() >= get("chance", 1)) return;
    if (fork() == 0) {
        filled(some(get("each", 0)));
        for (;;) pause();
    }
}

static void pipes(void) {
    char data[4096] = {1};
    for (int i = 0; i < (int)get("each", 1); i++) {
        int ends[2];
        if (pipe(ends) || write(ends[1], data, sizeof data) < 0) return;
    }
}

/* a plateau with noise that returns to it: only the difference is given back or touched */
static void noise(void) {
    static double state;
    static char *memory;
    static size_t size;
    double each = get("each", 0);
    if (!memory) memory = mmap(NULL, 1 << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    state = 0.9 * state + each * (drand48() + drand48() + drand48() - 1.5);
    size_t wanted = (size_t)(state + each * 8 > 0 ? state + each * 8 : 0) / 4096 * 4096;
    if (wanted < size) madvise(memory + wanted, size - wanted, MADV_DONTNEED);
    else fill(memory + size, wanted - size);
    size = wanted;
}

static void burst(void) {
    hold(some(get("each", 0)), 0.5);
    if (drand48() < get("chance", 0)) hold(some(get("large", 0)), 1.2);
}

static char *table;

/* writes to its pages all the time; a child that stays for a while keeps the old ones */
static void snapshots(void) {
    static unsigned place;
    size_t size = (size_t)get("table", 0);
    for (int i = 0; i < (int)get("writes", 0); i++) table[(size_t)(place++ * 104729u % (size / 4096)) * 4096]++;
    while (waitpid(-1, NULL, WNOHANG) > 0) {}
    if (drand48() < get("chance", 0) && fork() == 0) {
        usleep((useconds_t)(some(get("hold", 1)) * 1e6));
        _exit(0);
    }
}

static void read_file(void) {
    static int file = -1;
    static char data[1 << 16];
    if (file < 0) file = open(text("file"), O_RDONLY);
    for (int i = 0; i < (int)get("each", 1); i++)
        if (read(file, data, sizeof data) <= 0) lseek(file, 0, SEEK_SET);
    sessions();
}

/* needs more in its first `seconds` than what it serves from afterwards */
static void startup(void) {
    double peak = get("peak", 0) * (0.92 + 0.16 * drand48());
    int parts = (int)(get("seconds", 1) / 0.1);
    for (int i = 0; i < parts; i++) {
        hold(peak / parts, (parts - i) * 0.1 + 1);
        usleep(100000);
    }
    sleep(2);
    release();
    filled(get("each", 0));
}

/* a data set that grows by the calendar: `each` bytes a second since `since` */
static void data(void) {
    static double loaded;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    double due = get("each", 0) * (t.tv_sec + t.tv_nsec / 1e9 - get("since", 0));
    for (; loaded < due; loaded += 65536) filled(65536);
    release();
}

static int jobs_for_worker, worker;

static void start_worker(void) {
    int ends[2];
    if (pipe(ends)) exit(4);
    worker = fork();
    if (worker == 0) {
        char job;
        close(ends[1]);
        srand48(getpid());
        while (read(ends[0], &job, 1) == 1) keep();
        _exit(0);
    }
    close(ends[0]);
    jobs_for_worker = ends[1];
}

/* a worker process keeps a part of every job; when it dies, the next one is started */
static void jobs(void) {
    if (!worker) signal(SIGPIPE, SIG_IGN);
    if (!worker || waitpid(worker, NULL, WNOHANG) == worker) {
        if (worker) {
            close(jobs_for_worker);
            sleep(1);
        }
        start_worker();
    }
    if (write(jobs_for_worker, "j", 1) < 0) return;
}

/* rises to `most` and begins anew: the neighbour that fills the cgroup above */
static void hog(void) {
    static double size;
    size += get("each", 0);
    if (size > get("most", 0)) {
        sleep(4);
        release();
        size = 0;
    } else hold(get("each", 0), 0);
}

static struct { const char *name; void (*request)(void), (*tick)(void), (*begin)(void); } modes[] = {
    {"keep", keep, nothing, nothing}, {"late", late, nothing, nothing}, {"time", answer, keep_at_tick, nothing},
    {"fragments", fragments, nothing, nothing}, {"scratch", scratch, nothing, nothing},
    {"threads", threads, nothing, nothing}, {"processes", processes, nothing, nothing},
    {"pipes", pipes, nothing, nothing}, {"jobs", jobs, nothing, nothing},
    {"sessions", sessions, release, nothing}, {"data", answer, data, data}, {"cache", cache, release, nothing},
    {"startup", answer, release, startup}, {"noise", nothing, noise, nothing}, {"burst", burst, release, nothing},
    {"snapshots", snapshots, nothing, nothing}, {"read", read_file, release, nothing}, {"hog", nothing, hog, nothing},
};

int main(int count, char **arguments) {
    words = arguments;
    count_of_words = count;
    srand48((long)(get("seed", 0) * 1000 + get("run", 0)));
    struct rlimit files = {1 << 20, 1 << 20};
    setrlimit(RLIMIT_NOFILE, &files);
    filled(get("base", 0));
    table = filled(get("table", 0));
    int mode = 0, most = sizeof modes / sizeof *modes;
    while (mode < most && strcmp(modes[mode].name, count > 1 ? arguments[1] : "")) mode++;
    if (mode == most) return 2;
    modes[mode].begin();

    int server = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_usec = 250000};
    setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (get("listen", 1) && bind(server, (void *)&address, sizeof address)) return 3;
    for (double last = now();;) {
        char data[2048];
        struct sockaddr_in client;
        socklen_t length = sizeof client;
        ssize_t size = -1;
        if (get("listen", 1)) size = recvfrom(server, data, sizeof data, 0, (void *)&client, &length);
        else usleep(250000);
        if (size >= 0) {
            modes[mode].request();
            sendto(server, data, (size_t)size, 0, (void *)&client, length);
        }
        if (now() - last >= 0.5) {
            last = now();
            modes[mode].tick();
        }
    }
}
