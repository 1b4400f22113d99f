#ifndef CHANTER_CSUPPORT_H
#define CHANTER_CSUPPORT_H

#include <stddef.h>
#include <stdint.h>

/// CRC32C (Castagnoli) of `count` bytes with the CPU's instruction; `seed` is the checksum of what came before, or 0.
uint32_t chanter_crc32c(uint32_t seed, const void *bytes, size_t count);

/// 1 if this CPU has every instruction that the kernels are compiled for.
int chanter_cpu_is_supported(void);

/// Renames, and fails with EEXIST where `to` is there already. EINVAL: this file system cannot promise that.
int chanter_rename_new(const char *from, const char *to);

/// Exchanges two names that are both there. EINVAL: this file system cannot.
int chanter_rename_exchange(const char *from, const char *to);

/// Names the calling thread (15 bytes at most); Swift cannot see the GNU call for it.
void chanter_name_thread(const char *name);

/// Lets threads of usual priority go before the calling thread, which gets what they leave idle.
void chanter_lower_priority(void);

/// How often the calling thread has waited for a page that the system had to read from a file.
long chanter_major_faults(void);

/// Has the disk begin to write what of an open file is changed in the system's cache. Waits for no write to end, though for the
/// disk to take them.
void chanter_start_writing(int descriptor);

/// Tells the CPU that this thread waits in a loop.
static inline void chanter_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  __asm__ volatile("yield");
#endif
}

/// Asks for huge pages where whole ones fit into `count` bytes; a system without them goes on with small ones.
void chanter_prefer_huge_pages(void *address, size_t count);

/// Sets the allocator of glibc to keep what is freed, all in one arena; other allocators are left as they are.
void chanter_keep_freed_memory(void);

/// Asks the CPU to load the cache line at `address`; never faults.
static inline void chanter_prefetch(const void *address) { __builtin_prefetch(address, 0, 3); }

/// Reads of one file past the system's cache, many at once, by io_uring. Used by one thread at a time.
struct chanter_reads;

/// Opens the file of the descriptor `file` anew for up to `depth` reads at once, each with room for `bytes_per_read` bytes, a
/// multiple of the page size. NULL where the system, its policy or the file system has no such reads.
struct chanter_reads *chanter_reads_open(int file, unsigned depth, unsigned bytes_per_read);

/// Waits for the reads on their way, and frees their bytes. What is queued and not started is never read.
void chanter_reads_close(struct chanter_reads *reads);

/// Where the bytes of read `number` (0 ..< depth) are once it has ended.
const void *chanter_reads_bytes(const struct chanter_reads *reads, unsigned number);

/// Queues read `number`, which must not be queued or on its way; count and offset are multiples of the page size. 0, or
/// -EBUSY beyond `depth`.
int chanter_reads_queue(struct chanter_reads *reads, unsigned number, unsigned count, uint64_t offset);

/// Starts what is queued and waits until `awaited` reads have ended that `chanter_reads_next` has not given, or until one has
/// where the system has no memory to start them all: the next call goes on. 0 or -errno.
int chanter_reads_start(struct chanter_reads *reads, unsigned awaited);

/// Gives a read that has ended, if any: its number, and the bytes read or -errno. 1, or 0 if there is none.
int chanter_reads_next(struct chanter_reads *reads, unsigned *number, int *result);

#endif
