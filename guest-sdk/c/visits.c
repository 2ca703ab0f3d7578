/* Do people see the doctor less when they pay a share? The same analysis as examples/visits-by-coinsurance:
   clang --target=wasm32 -O2 -nostdlib -Wl,--no-entry -Wl,--strip-all -I../../examples/visits-by-coinsurance \
         visits.c -o visits.wasm */
#include "spe.h"

SPE_MANIFEST("manifest.json");

void *SPE_EXPORT(spe_input)(uint32_t bytes) { return spe_room(bytes); }

int32_t SPE_EXPORT(spe_start)(const double *params, uint32_t len) {
    (void)params;
    return len != 0; /* the manifest has no parameters */
}

void SPE_EXPORT(spe_map)(const spe_record *record, double *out) {
    const spe_table *years = &record->tables[0];
    const spe_column *coinsurance = &years->columns[0];
    const spe_column *visits = &years->columns[1];
    double sum = 0, count = 0;
    for (uint32_t row = 0; row < years->rows; row++) {
        if (!spe_present(visits, row)) continue;
        sum += (double)((const int64_t *)visits->values)[row];
        count += 1;
    }
    int known = years->rows && spe_present(coinsurance, 0);
    out[0] = known ? ((const int32_t *)coinsurance->values)[0] : SPE_NO_ANSWER;
    out[1] = sum / count; /* no visits known: 0 / 0, which is NaN */
}
