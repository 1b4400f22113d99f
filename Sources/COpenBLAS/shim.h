#include <cblas.h>

// Declared by OpenBLAS itself, but not by every cblas.h that Debian's alternatives can put in its place.
char *openblas_get_config(void);
char *openblas_get_corename(void);
void openblas_set_num_threads(int num_threads);
