/* The guest ABI, version 1, for freestanding C (docs/guest-abi.md; the constants are those of guest-sdk/abi). */
#ifndef SPE_H
#define SPE_H

#include <stddef.h>
#include <stdint.h>

/* Embeds the manifest; the path is relative to where the compiler runs, or to a folder given with -I. */
#define SPE_MANIFEST(path) \
    __asm__(".section .custom_section.spe.manifest,\"\",@\n.incbin \"" path "\"\n.text\n")

#define SPE_EXPORT(name) __attribute__((export_name(#name))) name

/* Written for an output: the data subject takes the output's declared default. */
#define SPE_NO_ANSWER __builtin_nan("")

enum spe_kind {
    SPE_INTEGER = 1,   /* int64_t */
    SPE_NUMBER = 2,    /* double */
    SPE_BOOLEAN = 3,   /* bitmap */
    SPE_CATEGORY = 4,  /* int32_t, an index into the dataset's public list of categories */
    SPE_DATE = 5,      /* int32_t, days since 1970-01-01 */
    SPE_TIMESTAMP = 6, /* int64_t, microseconds since 1970-01-01T00:00Z */
    SPE_TEXT = 7       /* offsets and UTF-8 bytes */
};

typedef struct {
    uint32_t kind;
    const uint8_t *validity; /* bit i set = row i present; NULL = every row is */
    const uint32_t *offsets; /* of text only: rows + 1 */
    const void *values;
} spe_column;

typedef struct {
    const spe_column *columns;
    uint32_t column_count;
    uint32_t rows;
    uint32_t reserved;
} spe_table;

typedef struct {
    const spe_table *tables;
    uint32_t table_count;
} spe_record;

_Static_assert(sizeof(spe_column) == 16 && offsetof(spe_column, values) == 12, "a column, on wasm32");
_Static_assert(sizeof(spe_table) == 16 && offsetof(spe_table, rows) == 8, "a table, on wasm32");
_Static_assert(sizeof(spe_record) == 8 && offsetof(spe_record, table_count) == 4, "a record, on wasm32");

/* Bit `row` of a bitmap. */
static inline int spe_bit(const uint8_t *bitmap, uint32_t row) { return bitmap[row / 8] >> (row % 8) & 1; }

/* Whether row `row` of a column has a value. */
static inline int spe_present(const spe_column *column, uint32_t row) {
    return !column->validity || spe_bit(column->validity, row);
}

/* `spe_input`: fresh pages at the end of memory. */
static inline void *spe_room(uint32_t bytes) {
    size_t pages = __builtin_wasm_memory_grow(0, (bytes >> 16) + 1);
    return pages == (size_t)-1 ? NULL : (void *)(pages << 16);
}

#endif
