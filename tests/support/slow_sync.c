/* Preloaded into a database: each fsync and fdatasync takes longer, as on a slow disk.

   By how many milliseconds is read from the file that GOCHAT_TEST_SYNC_DELAY names, each time. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

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
    wait_for_the_disk();
    return next(descriptor);
}

int fdatasync(int descriptor)
{
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_for_the_disk();
    return next(descriptor);
}
