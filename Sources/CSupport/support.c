#include "CSupport.h"

#include <string.h>
#include <sys/prctl.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#define CRC64(crc, word) ((uint32_t)_mm_crc32_u64((crc), (word)))
#define CRC8(crc, byte) _mm_crc32_u8((crc), (byte))
#elif defined(__aarch64__)
#include <arm_acle.h>
#define CRC64(crc, word) __crc32cd((crc), (word))
#define CRC8(crc, byte) __crc32cb((crc), (byte))
#else
#error "Chanter needs x86-64 or aarch64"
#endif

uint32_t chanter_crc32c(uint32_t seed, const void *bytes, size_t count) {
  const uint8_t *at = bytes;
  uint32_t crc = ~seed;
  for (; count >= 8; count -= 8, at += 8) {
    uint64_t word;
    memcpy(&word, at, 8);
    crc = CRC64(crc, word);
  }
  for (; count > 0; count--, at++) crc = CRC8(crc, *at);
  return ~crc;
}

int chanter_cpu_is_supported(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("sse4.2");
#else
  return 1;
#endif
}

void chanter_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }
