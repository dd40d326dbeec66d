/* The floor: whole frames that arrive on one socket are written to all others, and nothing else.
 *
 * No protocol, no log, no names: a non-blocking epoll loop that does what any chat server has to
 * do. `floor all` writes what one read brought in one write per socket; `floor each` writes every
 * frame by itself, as a server does that does not coalesce. The first line of the output is the
 * port. Ends with its standard input. Frames are small, and a peer that does not read is not cut.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_FDS 65536
#define READ_SIZE 65536
#define MAX_FRAME 4096

static struct {
    char *rest; /* what its socket has not taken */
    size_t size;
    char begun[MAX_FRAME]; /* of a frame that has not arrived as a whole */
    size_t kept;
    int is_open;
} peers[MAX_FDS];
static int highest, poller;

static void watch(int fd, uint32_t events, int operation)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(poller, operation, fd, &event) < 0)
        exit(1);
}

static void put(int fd, const char *data, size_t size)
{
    if (peers[fd].size == 0) {
        ssize_t written = write(fd, data, size);
        if (written < 0)
            written = 0;
        if ((size_t)written == size)
            return;
        data += written;
        size -= written;
        watch(fd, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    }
    peers[fd].rest = realloc(peers[fd].rest, peers[fd].size + size);
    memcpy(peers[fd].rest + peers[fd].size, data, size);
    peers[fd].size += size;
}

static void put_rest(int fd)
{
    ssize_t written = write(fd, peers[fd].rest, peers[fd].size);
    if (written <= 0)
        return;
    peers[fd].size -= written;
    memmove(peers[fd].rest, peers[fd].rest + written, peers[fd].size);
    if (peers[fd].size == 0)
        watch(fd, EPOLLIN, EPOLL_CTL_MOD);
}

static void put_to_others(int from, const char *data, size_t size)
{
    for (int fd = 0; fd <= highest; fd++)
        if (peers[fd].is_open && fd != from)
            put(fd, data, size);
}

int main(int argc, char **argv)
{
    int each = argc > 1 && strcmp(argv[1], "each") == 0;
    static char buffer[READ_SIZE * 2];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;

    signal(SIGPIPE, SIG_IGN);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096))
        return 1;
    getsockname(listener, (void *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    poller = epoll_create1(0);
    watch(listener, EPOLLIN, EPOLL_CTL_ADD);
    watch(STDIN_FILENO, EPOLLIN, EPOLL_CTL_ADD);
    for (;;) {
        struct epoll_event events[256];
        int count = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == STDIN_FILENO)
                return 0;
            if (fd == listener) {
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    peers[fd].is_open = 1;
                    highest = fd > highest ? fd : highest;
                    watch(fd, EPOLLIN, EPOLL_CTL_ADD);
                }
                continue;
            }
            if (events[i].events & EPOLLOUT && peers[fd].size)
                put_rest(fd);
            if (!(events[i].events & (EPOLLIN | EPOLLHUP)))
                continue;
            size_t kept = peers[fd].kept;
            memcpy(buffer, peers[fd].begun, kept);
            ssize_t got = read(fd, buffer + kept, READ_SIZE);
            if (got < 0)
                continue;
            if (got == 0) {
                peers[fd].is_open = 0;
                close(fd);
                continue;
            }
            size_t start = 0, end = kept + got;
            for (size_t at = 0; end - at >= 4; start = at) {
                uint32_t size;
                memcpy(&size, buffer + at, 4);
                size = ntohl(size) + 4;
                if (end - at < size)
                    break;
                if (each)
                    put_to_others(fd, buffer + at, size);
                at += size;
            }
            if (!each && start)
                put_to_others(fd, buffer, start);
            peers[fd].kept = end - start;
            memcpy(peers[fd].begun, buffer + start, end - start);
        }
    }
}
