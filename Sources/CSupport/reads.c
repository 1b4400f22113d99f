#define _GNU_SOURCE
#include "CSupport.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// Here and not in Swift, since the headers of liburing and of the C library that Swift imports declare the same things twice.

enum { page = 4096 };

struct chanter_reads {
  struct io_uring ring;
  int file;
  // Reads that the kernel was given and that were not taken from it again: it may still write to their bytes.
  unsigned on_their_way;
  unsigned bytes_per_read;
  char *bytes;
};

static int open_ring(struct io_uring *ring, unsigned depth) {
#ifdef IORING_SETUP_COOP_TASKRUN
  // The thread that waits for the reads is the one that asked for them: nothing needs to interrupt it when one has ended.
  if (io_uring_queue_init(depth, ring, IORING_SETUP_COOP_TASKRUN) == 0) return 0;
#endif
  return io_uring_queue_init(depth, ring, 0);
}

// Some file systems open a file for such reads and refuse each of them, and older systems have rings that cannot read so.
static int can_read(struct chanter_reads *reads) {
  unsigned number;
  int result = -1;
  return chanter_reads_queue(reads, 0, page, 0) == 0 && chanter_reads_start(reads, 1) == 0 &&
         chanter_reads_next(reads, &number, &result) && result >= 0;
}

struct chanter_reads *chanter_reads_open(int file, unsigned depth, unsigned bytes_per_read) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  struct chanter_reads *reads = calloc(1, sizeof *reads);
  if (!reads) return NULL;
  reads->bytes_per_read = bytes_per_read;
  reads->file = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
  void *bytes = NULL;
  if (reads->file >= 0 && posix_memalign(&bytes, page, (size_t)depth * bytes_per_read) == 0) {
    reads->bytes = bytes;
    if (open_ring(&reads->ring, depth) == 0) {
      if (can_read(reads)) return reads;
      chanter_reads_close(reads);
      return NULL;
    }
  }
  free(bytes);
  if (reads->file >= 0) close(reads->file);
  free(reads);
  return NULL;
}

void chanter_reads_close(struct chanter_reads *reads) {
  while (reads->on_their_way > 0) {
    struct io_uring_cqe *entry;
    int code = io_uring_wait_cqe(&reads->ring, &entry);
    if (code == -EINTR) continue;
    // Nobody knows then when the kernel is done with the bytes: better lost than used by two.
    if (code != 0) return;
    io_uring_cqe_seen(&reads->ring, entry);
    reads->on_their_way--;
  }
  io_uring_queue_exit(&reads->ring);
  close(reads->file);
  free(reads->bytes);
  free(reads);
}

const void *chanter_reads_bytes(const struct chanter_reads *reads, unsigned number) {
  return reads->bytes + (size_t)number * reads->bytes_per_read;
}

int chanter_reads_queue(struct chanter_reads *reads, unsigned number, unsigned count, uint64_t offset) {
  struct io_uring_sqe *entry = io_uring_get_sqe(&reads->ring);
  if (!entry) return -EBUSY;
  io_uring_prep_read(entry, reads->file, reads->bytes + (size_t)number * reads->bytes_per_read, count, offset);
  entry->user_data = number;
  return 0;
}

int chanter_reads_start(struct chanter_reads *reads, unsigned awaited) {
  // A signal ends a wait early, with success if anything was started.
  while (io_uring_sq_ready(&reads->ring) > 0 || io_uring_cq_ready(&reads->ring) < awaited) {
    int code = io_uring_submit_and_wait(&reads->ring, awaited);
    if (code > 0) reads->on_their_way += (unsigned)code;
    if (code == -EAGAIN || code == -EBUSY) {
      // No memory for another read: those on their way give theirs back.
      if (io_uring_cq_ready(&reads->ring) > 0) return 0;
      if (reads->on_their_way == 0) return code;
      struct io_uring_cqe *entry;
      code = io_uring_wait_cqe(&reads->ring, &entry);
      if (code == 0) return 0;
    }
    if (code < 0 && code != -EINTR) return code;
  }
  return 0;
}

int chanter_reads_next(struct chanter_reads *reads, unsigned *number, int *result) {
  struct io_uring_cqe *entry = NULL;
  if (io_uring_peek_cqe(&reads->ring, &entry) != 0 || !entry) return 0;
  *number = (unsigned)entry->user_data;
  *result = entry->res;
  io_uring_cqe_seen(&reads->ring, entry);
  reads->on_their_way--;
  return 1;
}
