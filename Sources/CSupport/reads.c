#define _GNU_SOURCE
#include "CSupport.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// Here and not in Swift, since the headers of liburing and of the C library that Swift imports declare the same things twice.

struct chanter_reads {
  struct io_uring ring;
  int file;
};

void chanter_reads_close(struct chanter_reads *reads) {
  io_uring_queue_exit(&reads->ring);
  close(reads->file);
  free(reads);
}

// Some file systems open a file for such reads and refuse each of them, and older systems have rings that cannot read so.
static int can_read(struct chanter_reads *reads) {
  enum { page = 4096 };
  void *bytes;
  if (posix_memalign(&bytes, page, page) != 0) return 0;
  uint64_t tag;
  int result = -1;
  int can = chanter_reads_queue(reads, bytes, page, 0, 0) == 0 && chanter_reads_start(reads, 1) == 0 &&
            chanter_reads_next(reads, &tag, &result) && result >= 0;
  free(bytes);
  return can;
}

struct chanter_reads *chanter_reads_open(int file, unsigned depth) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  struct chanter_reads *reads = malloc(sizeof *reads);
  if (!reads) return NULL;
  reads->file = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
  if (reads->file < 0) {
    free(reads);
    return NULL;
  }
  // The thread that waits for the reads is the one that asked for them: nothing needs to interrupt it when one has ended.
  if (io_uring_queue_init(depth, &reads->ring, IORING_SETUP_COOP_TASKRUN) != 0 &&
      io_uring_queue_init(depth, &reads->ring, 0) != 0) {
    close(reads->file);
    free(reads);
    return NULL;
  }
  if (can_read(reads)) return reads;
  chanter_reads_close(reads);
  return NULL;
}

int chanter_reads_queue(struct chanter_reads *reads, void *bytes, unsigned count, uint64_t offset, uint64_t tag) {
  struct io_uring_sqe *entry = io_uring_get_sqe(&reads->ring);
  if (!entry) return -EBUSY;
  io_uring_prep_read(entry, reads->file, bytes, count, offset);
  entry->user_data = tag;
  return 0;
}

int chanter_reads_start(struct chanter_reads *reads, unsigned awaited) {
  int code;
  do code = io_uring_submit_and_wait(&reads->ring, awaited);
  while (code == -EINTR);
  return code < 0 ? code : 0;
}

int chanter_reads_next(struct chanter_reads *reads, uint64_t *tag, int *result) {
  struct io_uring_cqe *entry = NULL;
  if (io_uring_peek_cqe(&reads->ring, &entry) != 0 || !entry) return 0;
  *tag = entry->user_data;
  *result = entry->res;
  io_uring_cqe_seen(&reads->ring, entry);
  return 1;
}
