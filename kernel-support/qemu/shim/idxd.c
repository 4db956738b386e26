/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel Data Streaming Accelerator (DSA) and In-Memory Analytics Accelerator
 * (IAA), as PCI devices.
 *
 * The accelerator itself, with its registers, work queues and engines, is a
 * static library behind idxd-emu.h.  This file gives it a place on the bus:
 * configuration space, BARs, interrupts, and access to memory as a device
 * with ATS, PRI and PASIDs has it.
 *
 * Threads: each engine has one of its own.  It takes the BQL for each access
 * to memory, together with the lookup of the translation, so that an
 * invalidation, which the IOMMU does under the BQL, is over when it is over.
 */
#include "qemu/osdep.h"
#include "qemu/host-utils.h"
#include "qemu/error-report.h"
#include "qemu/log.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "qemu/rcu.h"
#include "qemu/thread.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "hw/pci/msi.h"
#include "hw/pci/msix.h"
#include "hw/pci/pci.h"
#include "hw/pci/pci_device.h"
#include "hw/pci/pcie.h"
#include "hw/qdev-properties.h"
#include "migration/vmstate.h"
#include "qom/object.h"
#include "system/system.h"
#include "idxd-emu.h"

#define TYPE_IDXD "idxd"
OBJECT_DECLARE_SIMPLE_TYPE(IdxdState, IDXD)

#define IDXD_REGS_SIZE      (64 * KiB)
#define IDXD_MSIX_TABLE     (64 * KiB)
#define IDXD_MSIX_PBA       (68 * KiB)
#define IDXD_BAR0_SIZE      (128 * KiB)
/* Four portals of a page each. */
#define IDXD_PORTALS_SIZE   (16 * KiB)

#define IDXD_CAP_EXP        0x40
#define IDXD_CAP_MSIX       0x80
#define IDXD_CAP_ATS        0x100
#define IDXD_CAP_PRI        0x110
#define IDXD_CAP_PASID      0x120

#define IDXD_QUEUES         8
/* The index of a page request group has 9 bits. */
#define IDXD_PAGE_REQUESTS  512
#define IDXD_PASID_BITS     20
#define IDXD_TEXT_LEN       256
#define IDXD_PAGE_SIZE      0x1000ULL

/* What the IOMMU tells about one PASID.  Registered once, never taken back. */
typedef struct IdxdPasid {
    IdxdState *s;
    uint32_t pasid;
    IOMMUPRINotifier pri;
    IOMMUNotifier iotlb;
} IdxdPasid;

typedef struct IdxdEngine {
    IdxdState *s;
    QemuThread thread;
    uint32_t index;
} IdxdEngine;

struct IdxdState {
    PCIDevice parent_obj;

    MemoryRegion bar0;
    MemoryRegion regs;
    MemoryRegion portals;
    IdxdEmu *emu;
    IdxdEmuPci pci;
    IdxdEngine *engines;
    GHashTable *pasids;

    char *kind;
    char *faults;
    uint32_t version;
    uint32_t num_engines;
    uint32_t num_queues;
    uint32_t num_groups;
    uint32_t entries;
    uint32_t read_buffers;
    uint32_t interrupt_handles;
    uint32_t page_requests;
    uint32_t tlb_entries;
    bool interrupt_storage;
    bool event_log_overflow;
    bool timing;
    Notifier exit;
};

typedef struct IdxdModel {
    const char *name;
    uint32_t kind;
    uint32_t version;
    uint16_t device_id;
} IdxdModel;

static const IdxdModel idxd_models[] = {
    { "dsa", IDXD_EMU_DSA, 1, 0x0b25 },     /* Sapphire Rapids */
    { "dsa", IDXD_EMU_DSA, 2, 0x11fb },     /* Granite Rapids D */
    { "dsa", IDXD_EMU_DSA, 3, 0x1212 },     /* Diamond Rapids */
    { "iaa", IDXD_EMU_IAA, 1, 0x0cfe },     /* Sapphire Rapids */
    { "iaa", IDXD_EMU_IAA, 2, 0x1216 },     /* Diamond Rapids */
};

/* Messages of the IOMMU */

static void idxd_pri_notify(IOMMUPRINotifier *n, IOMMUPRIResponse *response)
{
    IdxdState *s = container_of(n, IdxdPasid, pri)->s;
    uint8_t *status = PCI_DEVICE(s)->config + IDXD_CAP_PRI + PCI_PRI_STATUS;
    uint32_t code = IDXD_EMU_INVALID;

    if (response->response_code == IOMMU_PRI_RESP_SUCCESS) {
        code = IDXD_EMU_SUCCESS;
    } else if (response->response_code == IOMMU_PRI_RESP_FAILURE) {
        code = IDXD_EMU_FAILURE;
    }
    if (!idxd_emu_page_response(s->emu, response->prgi, code)) {
        pci_word_test_and_set_mask(status, PCI_PRI_STATUS_UPRGI);
    } else if (code == IDXD_EMU_FAILURE) {
        pci_word_test_and_set_mask(status, PCI_PRI_STATUS_RF |
                                           PCI_PRI_STATUS_STOPPED);
    }
}

static void idxd_iotlb_notify(IOMMUNotifier *n, IOMMUTLBEntry *entry)
{
    IdxdPasid *p = n->opaque;
    hwaddr first = entry->iova & ~entry->addr_mask;

    idxd_emu_invalidate(p->s->emu, p->pasid, first, first | entry->addr_mask);
}

/* The IOMMU has to know who listens before it is asked for anything. */
static bool idxd_use_pasid(IdxdState *s, uint32_t pasid)
{
    PCIDevice *d = PCI_DEVICE(s);
    gpointer key = GUINT_TO_POINTER(pasid);
    IdxdPasid *p;

    if (g_hash_table_contains(s->pasids, key)) {
        return true;
    }
    p = g_new0(IdxdPasid, 1);
    p->s = s;
    p->pasid = pasid;
    p->pri.notify = idxd_pri_notify;
    if (pci_iommu_init_iotlb_notifier(d, &p->iotlb, idxd_iotlb_notify, p) ||
        pci_pri_register_notifier(d, pasid, &p->pri)) {
        g_free(p);
        return false;
    }
    if (pci_iommu_register_iotlb_notifier(d, pasid, &p->iotlb)) {
        pci_pri_unregister_notifier(d, pasid);
        g_free(p);
        return false;
    }
    g_hash_table_insert(s->pasids, key, p);
    return true;
}

/* What the accelerator calls */

static bool idxd_lock(void *opaque)
{
    if (bql_locked()) {
        return false;
    }
    bql_lock();
    return true;
}

static void idxd_unlock(void *opaque)
{
    bql_unlock();
}

static bool idxd_translate(void *opaque, uint32_t pasid, uint32_t flags,
                           uint64_t addr, IdxdEmuTranslation *result)
{
    IdxdState *s = opaque;
    IOMMUTLBEntry entry;
    uint32_t missing;

    if (!idxd_use_pasid(s, pasid) ||
        pci_ats_request_translation(PCI_DEVICE(s), pasid,
                                    flags & IDXD_EMU_PRIVILEGED, false,
                                    addr & ~(IDXD_PAGE_SIZE - 1),
                                    IDXD_PAGE_SIZE, !(flags & IDXD_EMU_WRITE),
                                    &entry, 1, &missing) < 1 ||
        !(entry.perm & IOMMU_RO)) {
        return false;
    }
    result->addr = entry.translated_addr & ~entry.addr_mask;
    result->target = entry.target_as;
    result->shift = ctz64(~entry.addr_mask);
    result->writable = !!(entry.perm & IOMMU_WO);
    return true;
}

static bool idxd_access(IdxdState *s, AddressSpace *as, uint64_t addr,
                        void *bytes, size_t len, bool is_write)
{
    PCIDevice *d = PCI_DEVICE(s);

    if (!d->is_master) {
        return false;
    }
    return address_space_rw(as ? as : pci_get_address_space(d), addr,
                            MEMTXATTRS_UNSPECIFIED, bytes, len,
                            is_write) == MEMTX_OK;
}

static bool idxd_read(void *opaque, void *target, uint64_t addr, void *bytes,
                      size_t len)
{
    return idxd_access(opaque, target, addr, bytes, len, false);
}

static bool idxd_write(void *opaque, void *target, uint64_t addr,
                       const void *bytes, size_t len)
{
    bool done = idxd_access(opaque, target, addr, (void *)bytes, len, true);

    /* Whoever sees the next write sees this one. */
    smp_wmb();
    return done;
}

static int idxd_page_request(void *opaque, uint32_t pasid, uint32_t flags,
                             uint64_t addr, uint16_t group)
{
    IdxdState *s = opaque;
    int ret;

    if (!idxd_use_pasid(s, pasid)) {
        return IDXD_EMU_OFF;
    }
    ret = pci_pri_request_page(PCI_DEVICE(s), pasid,
                               flags & IDXD_EMU_PRIVILEGED, false,
                               addr & ~(IDXD_PAGE_SIZE - 1), true, group, true,
                               flags & IDXD_EMU_WRITE);
    return !ret ? IDXD_EMU_ASKED :
           ret == -ENOSPC ? IDXD_EMU_FULL : IDXD_EMU_OFF;
}

static void idxd_raise(void *opaque, uint16_t vector)
{
    PCIDevice *d = opaque;

    if (msix_enabled(d) && vector < d->msix_entries_nr) {
        msix_notify(d, vector);
    }
}

static void idxd_send_message(void *opaque, uint64_t addr, uint32_t data)
{
    MSIMessage message = { .address = addr, .data = data };

    msi_send_message(opaque, message);
}

static const IdxdEmuCallbacks idxd_callbacks = {
    .lock = idxd_lock,
    .unlock = idxd_unlock,
    .translate = idxd_translate,
    .read = idxd_read,
    .write = idxd_write,
    .page_request = idxd_page_request,
    .raise = idxd_raise,
    .send_message = idxd_send_message,
};

static void *idxd_engine(void *opaque)
{
    IdxdEngine *engine = opaque;

    rcu_register_thread();
    idxd_emu_serve(engine->s->emu, engine->index);
    rcu_unregister_thread();
    return NULL;
}

/* BARs */

static uint64_t idxd_regs_read(void *opaque, hwaddr addr, unsigned size)
{
    return idxd_emu_read(IDXD(opaque)->emu, addr, size);
}

static void idxd_regs_write(void *opaque, hwaddr addr, uint64_t value,
                            unsigned size)
{
    idxd_emu_write(IDXD(opaque)->emu, addr, size, value);
}

static const MemoryRegionOps idxd_regs_ops = {
    .read = idxd_regs_read,
    .write = idxd_regs_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8 },
    .impl = { .min_access_size = 1, .max_access_size = 8 },
};

static uint64_t idxd_portals_read(void *opaque, hwaddr addr, unsigned size)
{
    return 0;
}

static void idxd_portals_write(void *opaque, hwaddr addr, uint64_t value,
                               unsigned size)
{
    qemu_log_mask(LOG_GUEST_ERROR, "idxd: %u bytes written to a portal at "
                  "0x%" HWADDR_PRIx "\n", size, addr);
}

static bool idxd_portals_write64(void *opaque, hwaddr addr, const void *data,
                                 bool posted)
{
    return idxd_emu_write_portal(IDXD(opaque)->emu, addr, data, posted);
}

static const MemoryRegionOps idxd_portals_ops = {
    .read = idxd_portals_read,
    .write = idxd_portals_write,
    .write64 = idxd_portals_write64,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8 },
    .impl = { .min_access_size = 1, .max_access_size = 8 },
};

/* Configuration space */

static void idxd_update_pci(IdxdState *s)
{
    PCIDevice *d = PCI_DEVICE(s);
    uint16_t pasid = pci_get_word(d->config + IDXD_CAP_PASID + PCI_PASID_CTRL);
    uint16_t command = pci_get_word(d->config + PCI_COMMAND);
    IdxdEmuPci pci = {
        .bus_master = !!(command & PCI_COMMAND_MASTER),
        .pasid = !!(pasid & PCI_PASID_CTRL_ENABLE),
        .privileged = !!(pasid & PCI_PASID_CTRL_PRIV),
        .ats = pcie_ats_enabled(d),
        .pri = pcie_pri_enabled(d),
        .page_requests = pcie_pri_get_req_alloc(d),
    };

    if (memcmp(&pci, &s->pci, sizeof(pci))) {
        s->pci = pci;
        idxd_emu_set_pci(s->emu, &pci);
    }
}

static void idxd_config_write(PCIDevice *d, uint32_t addr, uint32_t value,
                              int len)
{
    IdxdState *s = IDXD(d);
    uint8_t *pri = d->config + IDXD_CAP_PRI;
    bool had_pri = pcie_pri_enabled(d);

    pci_default_write_config(d, addr, value, len);
    if (pcie_pri_enabled(d) && !had_pri) {
        pci_word_test_and_clear_mask(pri + PCI_PRI_STATUS,
                                     PCI_PRI_STATUS_STOPPED);
    } else if (!pcie_pri_enabled(d)) {
        pci_word_test_and_set_mask(pri + PCI_PRI_STATUS,
                                   PCI_PRI_STATUS_STOPPED);
    }
    /* The reset bit reads as zero; no request is ever left half made. */
    pci_word_test_and_clear_mask(pri + PCI_PRI_CTRL, PCI_PRI_CTRL_RESET);
    idxd_update_pci(s);
    /* May reset the device, with all that is above. */
    pcie_cap_flr_write_config(d, addr, value, len);
}

static void idxd_reset(DeviceState *dev)
{
    IdxdState *s = IDXD(dev);
    PCIDevice *d = PCI_DEVICE(dev);
    uint8_t *pri = d->config + IDXD_CAP_PRI;

    pcie_cap_deverr_reset(d);
    pci_set_word(d->config + IDXD_CAP_ATS + PCI_ATS_CTRL, 0);
    pci_set_word(d->config + IDXD_CAP_PASID + PCI_PASID_CTRL, 0);
    pci_set_word(pri + PCI_PRI_CTRL, 0);
    pci_set_word(pri + PCI_PRI_STATUS, PCI_PRI_STATUS_PASID |
                                       PCI_PRI_STATUS_STOPPED);
    pci_set_long(pri + PCI_PRI_ALLOC_REQ, 0);
    idxd_emu_reset(s->emu);
    memset(&s->pci, 0, sizeof(s->pci));
}

/* The device's life */

static const IdxdModel *idxd_model(const IdxdState *s, Error **errp)
{
    for (size_t i = 0; i < ARRAY_SIZE(idxd_models); i++) {
        const IdxdModel *model = &idxd_models[i];

        if (!strcmp(s->kind ? s->kind : "dsa", model->name) &&
            s->version == model->version) {
            return model;
        }
    }
    error_setg(errp, "kind=%s,version=%u: there are dsa versions 1 to 3 and "
               "iaa versions 1 and 2", s->kind ? s->kind : "dsa", s->version);
    return NULL;
}

static IdxdEmu *idxd_new_emu(IdxdState *s, const IdxdModel *model,
                             Error **errp)
{
    IdxdEmuConfig config = {
        .abi = IDXD_EMU_ABI,
        .kind = model->kind,
        .version = model->version,
        .engines = s->num_engines,
        .queues = s->num_queues,
        .groups = s->num_groups,
        .entries = s->entries,
        .read_buffers = s->read_buffers,
        .msix_vectors = s->num_queues + 1,
        .interrupt_handles = s->interrupt_handles,
        .interrupt_storage = s->interrupt_storage,
        .event_log_overflow = s->event_log_overflow,
        .tlb_entries = s->tlb_entries,
        .timing = s->timing,
        .faults = s->faults,
    };
    char why[IDXD_TEXT_LEN] = "";
    IdxdEmu *emu = idxd_emu_new(&config, &idxd_callbacks, s, why, sizeof(why));

    if (!emu) {
        error_setg(errp, "%s", why);
    }
    return emu;
}

/* Modelled times, for "qom-get" and for the end */

static char *idxd_get_modelled(Object *obj, Error **errp)
{
    IdxdState *s = IDXD(obj);
    char text[IDXD_TEXT_LEN];

    if (!s->emu || !idxd_emu_modelled(s->emu, text, sizeof(text))) {
        error_setg(errp, "no times are modelled without timing=on");
        return NULL;
    }
    return g_strdup(text);
}

static void idxd_exit(Notifier *n, void *data)
{
    IdxdState *s = container_of(n, IdxdState, exit);
    char text[IDXD_TEXT_LEN];

    if (idxd_emu_modelled(s->emu, text, sizeof(text))) {
        info_report("%s: modelled, no measurement of hardware: %s",
                    object_get_canonical_path_component(OBJECT(s)), text);
    }
}

static bool idxd_init_msix(IdxdState *s, Error **errp)
{
    PCIDevice *d = PCI_DEVICE(s);
    int vectors = s->num_queues + 1;

    if (msix_init(d, vectors, &s->bar0, 0, IDXD_MSIX_TABLE, &s->bar0, 0,
                  IDXD_MSIX_PBA, IDXD_CAP_MSIX, errp)) {
        return false;
    }
    /* A vector that is not in use is never delivered. */
    for (int i = 0; i < vectors; i++) {
        msix_vector_use(d, i);
    }
    return true;
}

static void idxd_realize(PCIDevice *d, Error **errp)
{
    IdxdState *s = IDXD(d);
    const IdxdModel *model = idxd_model(s, errp);

    if (!model) {
        return;
    }
    if (!s->num_queues || s->num_queues > IDXD_QUEUES) {
        error_setg(errp, "queues=%u: 1 to %u", s->num_queues, IDXD_QUEUES);
        return;
    }
    if (!s->page_requests || s->page_requests > IDXD_PAGE_REQUESTS) {
        error_setg(errp, "page-requests=%u: 1 to %u", s->page_requests,
                   IDXD_PAGE_REQUESTS);
        return;
    }
    if (!pci_bus_is_express(pci_get_bus(d)) ||
        pcie_endpoint_cap_init(d, IDXD_CAP_EXP) < 0) {
        error_setg(errp, "idxd needs a PCI Express bus");
        return;
    }
    pcie_cap_flr_init(d);
    pcie_cap_deverr_init(d);
    pci_config_set_device_id(d->config, model->device_id);

    memory_region_init(&s->bar0, OBJECT(s), "idxd-bar0", IDXD_BAR0_SIZE);
    memory_region_init_io(&s->regs, OBJECT(s), &idxd_regs_ops, s, "idxd-regs",
                          IDXD_REGS_SIZE);
    memory_region_add_subregion(&s->bar0, 0, &s->regs);
    memory_region_init_io(&s->portals, OBJECT(s), &idxd_portals_ops, s,
                          "idxd-portals",
                          pow2ceil(s->num_queues * IDXD_PORTALS_SIZE));
    pci_register_bar(d, 0, PCI_BASE_ADDRESS_MEM_TYPE_64 |
                     PCI_BASE_ADDRESS_MEM_PREFETCH, &s->bar0);
    pci_register_bar(d, 2, PCI_BASE_ADDRESS_MEM_TYPE_64 |
                     PCI_BASE_ADDRESS_MEM_PREFETCH, &s->portals);

    s->emu = idxd_new_emu(s, model, errp);
    if (!s->emu) {
        return;
    }
    if (!idxd_init_msix(s, errp)) {
        idxd_emu_free(g_steal_pointer(&s->emu));
        return;
    }
    pcie_ats_init(d, IDXD_CAP_ATS, true);
    pcie_pri_init(d, IDXD_CAP_PRI, s->page_requests, true);
    pcie_pasid_init(d, IDXD_CAP_PASID, IDXD_PASID_BITS, false, true);

    s->exit.notify = idxd_exit;
    qemu_add_exit_notifier(&s->exit);
    s->pasids = g_hash_table_new(NULL, NULL);
    s->num_engines = idxd_emu_engines(s->emu);
    s->engines = g_new0(IdxdEngine, s->num_engines);
    for (uint32_t i = 0; i < s->num_engines; i++) {
        IdxdEngine *engine = &s->engines[i];
        g_autofree char *name = g_strdup_printf("idxd-engine%u", i);

        engine->s = s;
        engine->index = i;
        qemu_thread_create(&engine->thread, name, idxd_engine, engine,
                           QEMU_THREAD_DETACHED);
    }
}

static const Property idxd_properties[] = {
    /* Every object has a property of the name "type" already. */
    DEFINE_PROP_STRING("kind", IdxdState, kind),
    DEFINE_PROP_UINT32("version", IdxdState, version, 1),
    /* 0: as many as the first silicon has */
    DEFINE_PROP_UINT32("engines", IdxdState, num_engines, 0),
    DEFINE_PROP_UINT32("queues", IdxdState, num_queues, IDXD_QUEUES),
    DEFINE_PROP_UINT32("groups", IdxdState, num_groups, 0),
    DEFINE_PROP_UINT32("entries", IdxdState, entries, 0),
    DEFINE_PROP_UINT32("read-buffers", IdxdState, read_buffers, 0),
    DEFINE_PROP_UINT32("interrupt-handles", IdxdState, interrupt_handles, 0),
    DEFINE_PROP_BOOL("interrupt-storage", IdxdState, interrupt_storage, false),
    DEFINE_PROP_BOOL("event-log-overflow", IdxdState, event_log_overflow,
                     false),
    DEFINE_PROP_UINT32("tlb-entries", IdxdState, tlb_entries, 0),
    DEFINE_PROP_UINT32("page-requests", IdxdState, page_requests,
                       IDXD_PAGE_REQUESTS),
    DEFINE_PROP_BOOL("timing", IdxdState, timing, false),
    DEFINE_PROP_STRING("faults", IdxdState, faults),
};

static const VMStateDescription idxd_vmstate = {
    .name = TYPE_IDXD,
    .unmigratable = 1,
};

static void idxd_class_init(ObjectClass *oc, const void *data)
{
    DeviceClass *dc = DEVICE_CLASS(oc);
    PCIDeviceClass *k = PCI_DEVICE_CLASS(oc);

    k->realize = idxd_realize;
    k->config_write = idxd_config_write;
    k->vendor_id = PCI_VENDOR_ID_INTEL;
    k->device_id = 0x0b25;
    k->class_id = PCI_CLASS_SYSTEM_OTHER;
    dc->desc = "Intel Data Streaming / In-Memory Analytics Accelerator";
    dc->vmsd = &idxd_vmstate;
    /* The engines' threads live as long as the machine. */
    dc->hotpluggable = false;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    device_class_set_legacy_reset(dc, idxd_reset);
    device_class_set_props(dc, idxd_properties);
    object_class_property_add_str(oc, "modelled", idxd_get_modelled, NULL);
    object_class_property_set_description(oc, "modelled",
        "What silicon would have taken so far, by the timing model");
}

static const TypeInfo idxd_types[] = {
    {
        .name = TYPE_IDXD,
        .parent = TYPE_PCI_DEVICE,
        .instance_size = sizeof(IdxdState),
        .class_init = idxd_class_init,
        .interfaces = (const InterfaceInfo[]) {
            { INTERFACE_PCIE_DEVICE }, { },
        },
    },
};
DEFINE_TYPES(idxd_types)
