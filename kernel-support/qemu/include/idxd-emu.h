/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * C interface of the emulated DSA and IAA.
 *
 * Threads: all functions but idxd_emu_serve return at once and may be called
 * with or without the machine's lock.  idxd_emu_serve is called by one thread
 * for each engine, without the lock, and returns after idxd_emu_finish.
 *
 * The device takes the machine's lock by @lock and gives it back by @unlock;
 * all other callbacks are called between the two.  It holds no lock
 * of its own while it waits for the machine's.
 */
#ifndef IDXD_EMU_H
#define IDXD_EMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IDXD_EMU_ABI        2
#define IDXD_EMU_ALL_PASIDS UINT32_MAX

typedef struct IdxdEmu IdxdEmu;

enum { IDXD_EMU_DSA = 0, IDXD_EMU_IAA = 1 };

/* Flags of a translation or of a page request. */
enum { IDXD_EMU_WRITE = 1, IDXD_EMU_PRIVILEGED = 2 };

/* What idxd_emu_callbacks.page_request returns. */
enum { IDXD_EMU_ASKED = 0, IDXD_EMU_FULL = 1, IDXD_EMU_OFF = 2 };

/* Responses to page requests. */
enum {
    IDXD_EMU_SUCCESS = 0, IDXD_EMU_INVALID = 1, IDXD_EMU_FAILURE = 2
};

/* Sizes and features; 0 is what the first silicon has, or none. */
typedef struct IdxdEmuConfig {
    uint32_t abi;                   /* IDXD_EMU_ABI */
    uint32_t kind;
    uint32_t version;               /* 1 to 3 */
    uint32_t engines;
    uint32_t queues;
    uint32_t groups;
    uint32_t entries;               /* of all work queues together */
    uint32_t read_buffers;
    uint32_t msix_vectors;
    uint32_t interrupt_handles;     /* that have to be asked for; 0: none */
    uint32_t interrupt_storage;     /* 1: there is one */
    uint32_t event_log_overflow;    /* 1: a full event log drops events */
    uint32_t tlb_entries;
    uint32_t timing;                /* 1: a book is kept of it */
    const char *faults;             /* the fault plan, or NULL */
} IdxdEmuConfig;

/* What the guest has set in configuration space. */
typedef struct IdxdEmuPci {
    uint32_t bus_master;
    uint32_t pasid;
    uint32_t privileged;
    uint32_t ats;
    uint32_t pri;
    uint32_t page_requests;         /* PRI: outstanding requests allowed */
} IdxdEmuPci;

/* A page as the IOMMU has it. */
typedef struct IdxdEmuTranslation {
    uint64_t addr;                  /* of the page in @target */
    void *target;                   /* the caller's; NULL: untranslated */
    uint32_t shift;                 /* log2 of its bytes */
    uint32_t writable;
} IdxdEmuTranslation;

typedef struct IdxdEmuCallbacks {
    /* Returns whether the calling thread did not have the lock before. */
    bool (*lock)(void *opaque);
    /* Called after @lock has returned true. */
    void (*unlock)(void *opaque);
    /* A translation request of the page of @addr.  False: no such page. */
    bool (*translate)(void *opaque, uint32_t pasid, uint32_t flags,
                      uint64_t addr, IdxdEmuTranslation *result);
    bool (*read)(void *opaque, void *target, uint64_t addr, void *bytes,
                 size_t len);
    bool (*write)(void *opaque, void *target, uint64_t addr,
                  const void *bytes, size_t len);
    /* One request, the last of its group. */
    int (*page_request)(void *opaque, uint32_t pasid, uint32_t flags,
                        uint64_t addr, uint16_t group);
    void (*raise)(void *opaque, uint16_t vector);
    void (*send_message)(void *opaque, uint64_t addr, uint32_t data);
} IdxdEmuCallbacks;

/*
 * A device after its reset; NULL if it cannot be, and then why in @error,
 * which has room for @error_len bytes.  @opaque goes to all callbacks.
 */
IdxdEmu *idxd_emu_new(const IdxdEmuConfig *config,
                      const IdxdEmuCallbacks *callbacks, void *opaque,
                      char *error, size_t error_len);
/* After idxd_emu_finish, when no thread is in any of these functions. */
void idxd_emu_free(IdxdEmu *device);

uint32_t idxd_emu_engines(const IdxdEmu *device);
void idxd_emu_serve(IdxdEmu *device, uint32_t engine);
void idxd_emu_finish(IdxdEmu *device);

uint64_t idxd_emu_read(IdxdEmu *device, uint64_t offset, uint32_t size);
void idxd_emu_write(IdxdEmu *device, uint64_t offset, uint32_t size,
                    uint64_t value);
/* 64 bytes to BAR2.  True: accepted; or @posted, and nobody knows. */
bool idxd_emu_write_portal(IdxdEmu *device, uint64_t offset,
                           const void *descriptor, bool posted);

void idxd_emu_set_pci(IdxdEmu *device, const IdxdEmuPci *pci);
/* Translations that cover @first to @last are gone when this returns. */
void idxd_emu_invalidate(IdxdEmu *device, uint32_t pasid, uint64_t first,
                         uint64_t last);
/* False: nobody asked under that index. */
bool idxd_emu_page_response(IdxdEmu *device, uint16_t group, uint32_t code);
/*
 * What silicon would have taken so far, by the timing model, as JSON.  False:
 * no book is kept.
 */
bool idxd_emu_modelled(const IdxdEmu *device, char *text, size_t len);
void idxd_emu_reset(IdxdEmu *device);

#endif
