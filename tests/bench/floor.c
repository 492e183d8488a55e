/* The floor: what fan-out costs in C on this kernel. One thread, epoll, level-triggered.
 *
 *     floor PORT           one send() per delivery
 *     floor PORT batched   what one turn of the loop owes a connection goes out in one send()
 *
 * GET /ws?t=0001,0002 subscribes to these topics, and what such a connection sends comes back to it; on GET /pub a message
 * is a topic of four digits and a payload. The handshake is whole (RFC 6455 4.2.2, SHA-1 of the key), messages are not
 * fragmented and at most 64 KiB. No routing, no authentication, no limits, no UTF-8 check, no timers: nothing that a
 * server would need beyond the sockets, so that a ratio to it says what all the rest costs.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TOPICS = 10000, FRAME = 65536, HEAD = 10, READ = 1 << 20 };

typedef struct {
  char *bytes;
  int length, size;
} Buffer;

typedef struct {
  int fd, open, publishes, dirty, waits; /* `waits`: the socket was full, epoll tells when it no longer is */
  int *topics, topic_count;
  Buffer in, out;
} Connection;

typedef struct {
  Connection **members;
  int count, size;
} Topic;

static Topic topics[TOPICS];
static Connection **dirty;
static int dirty_count, dirty_size, batched, ep;
static char received[READ + 1];

static void *grown(void *array, int *size, int needed, size_t item) {
  if (needed <= *size) return array;
  *size = needed < 2 * *size ? 2 * *size : needed;
  if (!(array = realloc(array, *size * item))) perror("realloc"), exit(1);
  return array;
}

static void append(Buffer *buffer, const void *bytes, int length) {
  buffer->bytes = grown(buffer->bytes, &buffer->size, buffer->length + length, 1);
  memcpy(buffer->bytes + buffer->length, bytes, length);
  buffer->length += length;
}

static void release(Buffer *buffer) {
  free(buffer->bytes);
  memset(buffer, 0, sizeof *buffer);
}

/* ---- SHA-1 (RFC 3174) of at most 119 bytes, and base64 (RFC 4648), for the handshake alone ---- */

static uint32_t rotated(uint32_t x, int by) { return x << by | x >> (32 - by); }

static void sha1(const char *text, unsigned char digest[20]) {
  uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
  unsigned char padded[128] = {0};
  size_t length = strlen(text), whole = length + 9 <= 64 ? 64 : 128;
  memcpy(padded, text, length);
  padded[length] = 0x80;
  padded[whole - 2] = length * 8 >> 8;
  padded[whole - 1] = length * 8;
  for (size_t at = 0; at < whole; at += 64) {
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int i = 0; i < 80; i++) {
      const unsigned char *p = padded + at + 4 * i;
      w[i] = i < 16 ? (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]
                    : rotated(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
      uint32_t f = i < 20   ? (0x5A827999 + ((b & c) | (~b & d)))
                   : i < 40 ? (0x6ED9EBA1 + (b ^ c ^ d))
                   : i < 60 ? (0x8F1BBCDC + ((b & c) | (b & d) | (c & d)))
                            : (0xCA62C1D6 + (b ^ c ^ d));
      uint32_t next = rotated(a, 5) + f + e + w[i];
      e = d, d = c, c = rotated(b, 30), b = a, a = next;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
  }
  for (int i = 0; i < 20; i++) digest[i] = h[i / 4] >> (24 - 8 * (i % 4));
}

static void base64(const unsigned char *digest, char text[29]) {
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  unsigned char bytes[21] = {0};
  memcpy(bytes, digest, 20);
  for (int i = 0; i < 7; i++) {
    uint32_t three = bytes[3 * i] << 16 | bytes[3 * i + 1] << 8 | bytes[3 * i + 2];
    for (int j = 0; j < 4; j++) text[4 * i + j] = letters[three >> (18 - 6 * j) & 63];
  }
  text[27] = '=';
  text[28] = 0;
}

/* ---- writing ---- */

static void watch(Connection *c, int waits) {
  if (c->waits == waits) return;
  c->waits = waits;
  struct epoll_event event = {.events = EPOLLIN | (waits ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &event);
}

/* How much the socket took; a broken one takes all, since epoll tells of it and there it is closed. */
static int taken(Connection *c, const char *bytes, int length) {
  ssize_t sent = send(c->fd, bytes, length, MSG_NOSIGNAL);
  return sent >= 0 ? (int)sent : errno == EAGAIN ? 0 : length;
}

static void flush(Connection *c) {
  int sent = taken(c, c->out.bytes, c->out.length);
  if (sent == c->out.length) {
    c->out.length = 0;
    watch(c, 0);
    return;
  }
  memmove(c->out.bytes, c->out.bytes + sent, c->out.length -= sent);
  watch(c, 1);
}

static void deliver(Connection *c, const char *frame, int length) {
  if (batched) {
    append(&c->out, frame, length);
    if (c->dirty) return;
    c->dirty = 1;
    dirty = grown(dirty, &dirty_size, dirty_count + 1, sizeof *dirty);
    dirty[dirty_count++] = c;
    return;
  }
  int sent = c->out.length ? 0 : taken(c, frame, length);
  if (sent == length) return;
  append(&c->out, frame + sent, length - sent);
  watch(c, 1);
}

static int framed(char *frame, int opcode, const char *payload, int length) {
  int head = 2;
  frame[0] = (char)(0x80 | opcode);
  if (length < 126) {
    frame[1] = (char)length;
  } else {
    frame[1] = 126, frame[2] = (char)(length >> 8), frame[3] = (char)length;
    head = 4;
  }
  memcpy(frame + head, payload, length);
  return head + length;
}

/* ---- a connection's life ---- */

static void leave(Connection *c) {
  for (int i = 0; i < c->topic_count; i++) {
    Topic *topic = &topics[c->topics[i]];
    for (int j = topic->count - 1; j >= 0; j--)
      if (topic->members[j] == c) {
        topic->members[j] = topic->members[--topic->count];
        break;
      }
  }
  for (int i = 0; c->dirty && i < dirty_count; i++)
    if (dirty[i] == c) dirty[i] = dirty[--dirty_count], c->dirty = 0;
  close(c->fd);
  release(&c->in);
  release(&c->out);
  free(c->topics);
  free(c);
}

static void join(Connection *c, const char *list) {
  int size = 0;
  do {
    int number = atoi(list);
    if (number < 0 || number >= TOPICS) continue;
    Topic *topic = &topics[number];
    topic->members = grown(topic->members, &topic->size, topic->count + 1, sizeof *topic->members);
    topic->members[topic->count++] = c;
    c->topics = grown(c->topics, &size, c->topic_count + 1, sizeof(int));
    c->topics[c->topic_count++] = number;
  } while ((list = strpbrk(list, ", &")) && *list++ == ',');
}

/* The length of the request, 0 while it is not whole, -1 where it is not for us. */
static int handshake(Connection *c, char *request) {
  char *end = strstr(request, "\r\n\r\n"), key[25 + 36], accept[29], answer[160];
  unsigned char digest[20];
  if (!end) return 0;
  char *header = strcasestr(request, "\r\nSec-WebSocket-Key:");
  if (!header || header > end || sscanf(header + 20, " %24[A-Za-z0-9+/=]", key) != 1) return -1;
  sha1(strcat(key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"), digest);
  base64(digest, accept);
  int length = snprintf(answer, sizeof answer,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Accept: %s\r\n\r\n", accept);
  char *query = strstr(request, "?t="), *line = strstr(request, "\r\n");
  c->open = 1;
  c->publishes = !strncmp(request, "GET /pub", 8);
  if (!c->publishes) join(c, query && query < line ? query + 3 : "0");
  if (taken(c, answer, length) != length) return -1;
  return (int)(end + 4 - request);
}

static void publish(const char *message, int length) {
  static char frame[HEAD + FRAME];
  int number = 0;
  for (int i = 0; i < 4; i++) {
    if (message[i] < '0' || message[i] > '9') return;
    number = number * 10 + message[i] - '0';
  }
  int whole = framed(frame, 1, message + 4, length - 4);
  Topic *topic = &topics[number];
  for (int i = 0; i < topic->count; i++) deliver(topic->members[i], frame, whole);
}

/* The bytes of whole frames that were handled, -1 to close. */
static int frames(Connection *c, char *bytes, int length) {
  static char frame[HEAD + FRAME];
  int at = 0;
  while (length - at >= 6) {
    unsigned char *f = (unsigned char *)bytes + at;
    int opcode = f[0] & 15, head = 6, size = f[1] & 127;
    if (!(f[1] & 128) || size == 127) return -1;
    if (size == 126) size = f[2] << 8 | f[3], head = 8;
    if (length - at < head + size) break;
    unsigned char *mask = f + head - 4;
    char *payload = (char *)f + head;
    for (int i = 0; i < size; i++) payload[i] ^= (char)mask[i & 3];
    if (opcode == 8 || opcode == 9) {
      int whole = framed(frame, opcode == 8 ? 8 : 10, payload, size);
      if (opcode == 8) {
        if (c->out.length) flush(c);
        taken(c, frame, whole);
        return -1;
      }
      deliver(c, frame, whole);
    } else if (c->publishes && size >= 4) {
      publish(payload, size);
    } else if (opcode == 1 || opcode == 2) {
      deliver(c, frame, framed(frame, opcode, payload, size));
    }
    at += head + size;
  }
  return at;
}

/* Whether the connection is still there. */
static int receive(Connection *c) {
  int kept = c->in.length, at = 0;
  if (kept) memcpy(received, c->in.bytes, kept);
  ssize_t got = recv(c->fd, received + kept, READ - kept, 0);
  if (got < 0 && errno == EAGAIN) return 1;
  if (got <= 0) return 0;
  int length = kept + (int)got;
  received[length] = 0;
  if (!c->open && (at = handshake(c, received)) < 0) return 0;
  if (c->open) {
    int handled = frames(c, received + at, length - at);
    if (handled < 0) return 0;
    at += handled;
  }
  if (at == length) {
    if (kept) release(&c->in);
    return 1;
  }
  if (length - at > FRAME + 16) return 0;
  c->in.length = 0;
  append(&c->in, received + at, length - at);
  return 1;
}

static void welcome(int listener) {
  int fd, on = 1;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    Connection *c = calloc(1, sizeof *c);
    if (!c) perror("calloc"), exit(1);
    c->fd = fd;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event);
  }
}

int main(int argc, char **argv) {
  if (argc < 2) return fprintf(stderr, "usage: floor PORT [batched]\n"), 2;
  batched = argc > 2 && !strcmp(argv[2], "batched");
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) return perror("floor"), 1;
  ep = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN}, events[256];
  epoll_ctl(ep, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    int count = epoll_wait(ep, events, 256, -1);
    for (int i = 0; i < count; i++) {
      Connection *c = events[i].data.ptr;
      if (!c) {
        welcome(listener);
        continue;
      }
      if (events[i].events & EPOLLOUT) flush(c);
      if (events[i].events & ~EPOLLOUT && !receive(c)) leave(c);
    }
    for (int i = 0; i < dirty_count; i++) {
      dirty[i]->dirty = 0;
      if (!dirty[i]->waits) flush(dirty[i]);
    }
    dirty_count = 0;
  }
}
