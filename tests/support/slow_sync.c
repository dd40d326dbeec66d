/* Preloaded into a database: each fsync and fdatasync takes longer, as on a slow disk.

   By how many milliseconds is read from the file that GOCHAT_TEST_SYNC_DELAY names, each time. Each
   call adds a line to the file that GOCHAT_TEST_SYNC_LOG names, if it is set: "main" or "other", for
   the thread that waits. In processes that were started by the first one, all threads are others. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

__attribute__((constructor)) static void note_the_first(void)
{
    char own[16];

    snprintf(own, sizeof own, "%d", (int)getpid());
    setenv("GOCHAT_TEST_SYNC_FIRST", own, 0);
}

static int is_main(void)
{
    const char *first = getenv("GOCHAT_TEST_SYNC_FIRST");

    return first != NULL && atoi(first) == getpid() && syscall(SYS_gettid) == getpid();
}

static void note_the_thread(void)
{
    const char *path = getenv("GOCHAT_TEST_SYNC_LOG");
    FILE *file = path != NULL ? fopen(path, "ae") : NULL;

    if (file == NULL)
        return;
    fputs(is_main() ? "main\n" : "other\n", file);
    fclose(file);
}

static void wait_for_the_disk(void)
{
    const char *path = getenv("GOCHAT_TEST_SYNC_DELAY");
    FILE *file = path != NULL ? fopen(path, "re") : NULL;
    long milliseconds = 0;

    if (file == NULL)
        return;
    if (fscanf(file, "%ld", &milliseconds) != 1)
        milliseconds = 0;
    fclose(file);

    struct timespec left = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    while (nanosleep(&left, &left) == -1 && errno == EINTR)
        ;
}

int fsync(int descriptor)
{
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    note_the_thread();
    wait_for_the_disk();
    return next(descriptor);
}

int fdatasync(int descriptor)
{
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    note_the_thread();
    wait_for_the_disk();
    return next(descriptor);
}
