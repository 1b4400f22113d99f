#define _GNU_SOURCE
#include "CSupport.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#define CRC64(crc, word) ((uint32_t)_mm_crc32_u64((crc), (word)))
#define CRC8(crc, byte) _mm_crc32_u8((crc), (byte))
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#define CRC64(crc, word) __crc32cd((crc), (word))
#define CRC8(crc, byte) __crc32cb((crc), (byte))
#else
#error "Chanter needs x86-64 or aarch64"
#endif

// The instruction takes three cycles and one can start in each, so three thirds of a long input are summed side by side.
// A part is a third of a block, so that one round does nearly all of it.
#define PART_BYTES 1352

// What PART_BYTES zero bytes make of a sum, by each of its four bytes: a sum is linear in its bits.
static uint32_t shifted[4][256];

static uint32_t checksum(uint32_t crc, const uint8_t *at, size_t count) {
  for (; count >= 8; count -= 8, at += 8) {
    uint64_t word;
    memcpy(&word, at, 8);
    crc = CRC64(crc, word);
  }
  for (; count > 0; count--, at++) crc = CRC8(crc, *at);
  return crc;
}

// Runs before main, hence before any other thread, and before the CPU was checked: without its instruction.
__attribute__((constructor)) static void fill_shifted(void) {
  for (uint32_t bit = 0; bit < 32; bit++) {
    uint32_t crc = 1u << bit;
    for (uint32_t step = 0; step < 8 * PART_BYTES; step++) crc = crc >> 1 ^ (0x82F63B78u & -(crc & 1));
    for (uint32_t byte = 0; byte < 256; byte++)
      if (byte >> bit % 8 & 1) shifted[bit / 8][byte] ^= crc;
  }
}

static uint32_t shift(uint32_t crc) {
  return shifted[0][crc & 255] ^ shifted[1][crc >> 8 & 255] ^ shifted[2][crc >> 16 & 255] ^ shifted[3][crc >> 24];
}

uint32_t chanter_crc32c(uint32_t seed, const void *bytes, size_t count) {
  const uint8_t *at = bytes;
  uint32_t crc = ~seed;
  for (; count >= 3 * PART_BYTES; count -= 3 * PART_BYTES, at += 3 * PART_BYTES) {
    uint32_t second = 0, third = 0;
    for (size_t offset = 0; offset < PART_BYTES; offset += 8) {
      uint64_t words[3];
      memcpy(&words[0], at + offset, 8);
      memcpy(&words[1], at + PART_BYTES + offset, 8);
      memcpy(&words[2], at + 2 * PART_BYTES + offset, 8);
      crc = CRC64(crc, words[0]);
      second = CRC64(second, words[1]);
      third = CRC64(third, words[2]);
    }
    crc = shift(shift(crc) ^ second) ^ third;
  }
  return ~checksum(crc, at, count);
}

int chanter_cpu_is_supported(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("sse4.2");
#else
  return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
#endif
}

// The system call itself, since not every C library has a function for it.
int chanter_rename_new(const char *from, const char *to) {
  return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 1 /* RENAME_NOREPLACE */);
}

int chanter_rename_exchange(const char *from, const char *to) {
  return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 2 /* RENAME_EXCHANGE */);
}

void chanter_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

// On Linux the priority of "process 0" is the calling thread's. Where even lowering it is forbidden, nothing is lost but speed.
void chanter_lower_priority(void) { (void)setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + 5); }

long chanter_major_faults(void) {
  struct rusage usage;
  return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_majflt : 0;
}

void chanter_prefer_huge_pages(void *address, size_t count) { (void)madvise(address, count, MADV_HUGEPAGE); }

#ifdef __GLIBC__
#include <malloc.h>

// Setting one threshold also ends the allocator's own adjusting of the other, so large buffers stay apart.
void chanter_keep_freed_memory(void) {
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_ARENA_MAX, 1);
}
#else
void chanter_keep_freed_memory(void) {}
#endif

void chanter_start_writing(int descriptor) { sync_file_range(descriptor, 0, 0, SYNC_FILE_RANGE_WRITE); }
