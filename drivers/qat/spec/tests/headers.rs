//! Requests, responses, registers, messages and configuration words against C programs compiled with the vendor's headers.
//!
//! `QAT_HEADERS` names a directory with `icp_qat_fw_comp.h` and its neighbours, as the source package of DPDK has it in
//! `drivers/common/qat/qat_adf`; `.ci/run` fetches that. The programs include the headers and nothing of ours: bytes that
//! this crate makes are read through their structures, and their structures' bytes are read by this crate.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command as Process;

use qat_spec::pfvf::{Block, Message, from_pf, to_pf};
use qat_spec::ring::{self, Register, RingSize, misc};
use qat_spec::{
    Command, Compress, ConfigWords, Depth, ErrorCode, GCM_AAD_BYTES_MAX, GCM_TAG_BYTES, Gcm, GcmKey,
    Generation, HeaderFlags, Request, RequestFlags, Response, Status, gcm_config,
};

const NEEDS: &str =
    "QAT_HEADERS names no directory with icp_qat_fw_comp.h: run `.ci/run tools`, it fetches one";

fn headers() -> PathBuf {
    let directory = PathBuf::from(std::env::var_os("QAT_HEADERS").expect(NEEDS));
    assert!(directory.join("icp_qat_fw_comp.h").is_file(), "{NEEDS}: {}", directory.display());
    directory
}

/// What the headers take from the library around them.
const PREAMBLE: &str = r#"
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
typedef uint8_t u8; typedef uint16_t u16; typedef uint32_t u32; typedef uint64_t u64;
#define rte_bswap32 __builtin_bswap32
#define __rte_packed __attribute__((packed))
#define __rte_cache_aligned __attribute__((aligned(64)))
#define __rte_packed_begin
#define __rte_packed_end
#include "icp_qat_fw.h"
#include "icp_qat_fw_comp.h"
#include "icp_qat_hw.h"
#include "icp_qat_fw_la.h"
#include "icp_qat_hw_gen4_comp.h"
#include "adf_transport_access_macros.h"
#include "adf_transport_access_macros_gen4.h"
#include "adf_pf2vf_msg.h"
"#;

/// Runs a C program that prints lines of a name and a number.
fn run(body: &str) -> BTreeMap<String, u64> {
    let directory = tempfile::tempdir().expect("a directory");
    let (source, program) = (directory.path().join("a.c"), directory.path().join("a.out"));
    // The headers include files of the library around them, which need to hold nothing.
    let empty = ["rte_byteorder.h", "rte_io.h", "rte_common.h"];
    for name in empty {
        std::fs::write(directory.path().join(name), "").expect("a file");
    }
    std::fs::write(&source, format!("{PREAMBLE}\nint main(void) {{\n{body}\nreturn 0; }}\n"))
        .expect("a file");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let compiled = Process::new(compiler)
        .args(["-w", "-I"])
        .arg(directory.path())
        .arg("-I")
        .arg(headers())
        .arg("-o")
        .args([&program, &source])
        .output()
        .expect("a C compiler");
    assert!(compiled.status.success(), "{}\n{body}", String::from_utf8_lossy(&compiled.stderr));
    let output = Process::new(&program).output().expect("the program runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let pair = |line: &str| {
        let (name, number) = line.split_once(' ').expect("name and number");
        (name.to_owned(), number.trim().parse().expect("a number"))
    };
    text.lines().map(pair).collect()
}

/// Compares expressions of C with values.
fn compare(before: &str, table: &[(&str, u64)]) {
    let body = table.iter().enumerate().fold(before.to_owned(), |mut body, (index, (c, _))| {
        writeln!(body, "printf(\"{index} %llu\\n\", (unsigned long long)({c}));").expect("a string grows");
        body
    });
    let theirs = run(&body);
    for (index, (c, ours)) in table.iter().enumerate() {
        assert_eq!(*ours, theirs[&index.to_string()], "{c}");
    }
}

/// Bytes as C sees them, in a structure `name` of `kind`.
fn structure(kind: &str, name: &str, bytes: &[u8]) -> String {
    let list = bytes.iter().fold(String::new(), |mut list, byte| {
        write!(list, "{byte},").expect("a string grows");
        list
    });
    format!(
        "struct {kind} {name}; {{ static const u8 b[] = {{ {list} }}; memcpy(&{name}, b, sizeof({name})); }}\n"
    )
}

#[test]
#[ignore = "needs QAT_HEADERS"]
fn a_request_reads_through_the_header_as_it_was_made() {
    let request = Request::compress(Compress {
        command: Command::DYNAMIC,
        config: ConfigWords { lower: 0x1111_2222, upper: 0x3333_4444 },
        src_addr: 0x0123_4567_89ab_cdef,
        src_bytes: 0x5555_6666,
        dst_addr: 0xfedc_ba98_7654_3210,
        dst_bytes: 0x7777_8888,
        last: false,
        recover: true,
    })
    .with_opaque(0x9999_aaaa_bbbb_cccc);
    let table = [
        ("sizeof(r)", Request::SIZE as u64),
        ("r.comn_hdr.service_cmd_id", 1),
        ("r.comn_hdr.service_cmd_id == ICP_QAT_FW_COMP_CMD_DYNAMIC", 1),
        ("r.comn_hdr.service_type == ICP_QAT_FW_COMN_REQ_CPM_FW_COMP", 1),
        ("ICP_QAT_FW_COMN_VALID_FLAG_GET(r.comn_hdr.hdr_flags)", 1),
        ("r.comn_hdr.serv_specif_flags", 0),
        ("ICP_QAT_FW_COMN_PTR_TYPE_GET(r.comn_hdr.comn_req_flags) == QAT_COMN_PTR_TYPE_FLAT", 1),
        ("ICP_QAT_FW_COMN_CD_FLD_TYPE_GET(r.comn_hdr.comn_req_flags) == QAT_COMN_CD_FLD_TYPE_16BYTE_DATA", 1),
        ("r.cd_pars.sl.comp_slice_cfg_word[0]", 0x1111_2222),
        ("r.cd_pars.sl.comp_slice_cfg_word[1]", 0x3333_4444),
        ("r.comn_mid.opaque_data", 0x9999_aaaa_bbbb_cccc),
        ("r.comn_mid.src_data_addr", 0x0123_4567_89ab_cdef),
        ("r.comn_mid.dest_data_addr", 0xfedc_ba98_7654_3210),
        ("r.comn_mid.src_length", 0x5555_6666),
        ("r.comn_mid.dst_length", 0x7777_8888),
        ("r.comp_pars.comp_len", 0x5555_6666),
        ("r.comp_pars.out_buffer_sz", 0x7777_8888),
        ("r.comp_pars.initial_crc32", 0),
        ("r.comp_pars.initial_adler", 1),
        (
            "r.comp_pars.req_par_flags == ICP_QAT_FW_COMP_REQ_PARAM_FLAGS_BUILD(ICP_QAT_FW_COMP_SOP, \
             ICP_QAT_FW_COMP_EOP, ICP_QAT_FW_COMP_NOT_BFINAL, ICP_QAT_FW_COMP_CNV, ICP_QAT_FW_COMP_CNV_RECOVERY)",
            1,
        ),
        ("ICP_QAT_FW_COMN_CURR_ID_GET(&r.comp_cd_ctrl) == ICP_QAT_FW_SLICE_COMP", 1),
        ("ICP_QAT_FW_COMN_NEXT_ID_GET(&r.comp_cd_ctrl) == ICP_QAT_FW_SLICE_DRAM_WR", 1),
        ("r.comp_cd_ctrl.ram_bank_flags", 0),
        ("r.comp_cd_ctrl.comp_state_addr", 0),
    ];
    compare(&structure("icp_qat_fw_comp_req", "r", &request.to_bytes()), &table);
}

/// That the flags of a GCM request are what the header's macro makes of these.
fn gcm_flags(iv_len: &str, proto: &str, encrypts: bool) -> String {
    format!(
        "(0xffff & (ICP_QAT_FW_LA_FLAGS_BUILD(0, {iv_len}, \
         ICP_QAT_FW_LA_NO_DIGEST_IN_BUFFER, {proto}, {}, {}, ICP_QAT_FW_LA_NO_UPDATE_STATE, \
         ICP_QAT_FW_CIPH_IV_16BYTE_DATA, ICP_QAT_FW_CIPH_AUTH_CFG_OFFSET_IN_CD_SETUP, ICP_QAT_FW_LA_PARTIAL_NONE) \
         | ICP_QAT_FW_LA_SINGLE_PASS_PROTO << QAT_FW_LA_SINGLE_PASS_PROTO_FLAG_BITPOS \
         | ICP_QAT_FW_LA_USE_UCS_SLICE_TYPE << QAT_LA_SLICE_TYPE_BITPOS)) == r.comn_hdr.serv_specif_flags",
        if encrypts { "ICP_QAT_FW_LA_NO_CMP_AUTH_RES" } else { "ICP_QAT_FW_LA_CMP_AUTH_RES" },
        if encrypts { "ICP_QAT_FW_LA_RET_AUTH_RES" } else { "ICP_QAT_FW_LA_NO_RET_AUTH_RES" },
    )
}

#[test]
#[ignore = "needs QAT_HEADERS"]
fn a_gcm_request_reads_through_the_header_as_it_was_made() {
    for (encrypts, key, key_words) in [(true, GcmKey::Aes256, 4), (false, GcmKey::Aes128, 2)] {
        let request = Request::gcm(Gcm {
            generation: Generation::Gen5,
            encrypts,
            key,
            descriptor_addr: 0x0123_4567_89ab_cd40,
            src_addr: 0x1123_4567_89ab_cdef,
            dst_addr: 0xfedc_ba98_7654_3210,
            bytes: 0x5555_6666,
            nonce: [0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab],
            aad_addr: 0x2123_4567_89ab_cdef,
            aad_bytes: 240,
            tag_addr: 0x3123_4567_89ab_cdef,
        })
        .with_opaque(0x9999_aaaa_bbbb_cccc);
        let flags = gcm_flags("ICP_QAT_FW_LA_GCM_IV_LEN_12_OCTETS", "ICP_QAT_FW_LA_NO_PROTO", encrypts);
        let table = [
            ("sizeof(r)", Request::SIZE as u64),
            // The structure ends with four bytes of padding; what follows the request's own part is the next one.
            (
                "offsetof(struct icp_qat_fw_la_cipher_20_req_params, spc_auth_res_sz) + 1 == sizeof(r.serv_specif_rqpars)",
                1,
            ),
            ("r.comn_hdr.service_cmd_id == ICP_QAT_FW_LA_CMD_CIPHER", 1),
            ("r.comn_hdr.service_type == ICP_QAT_FW_COMN_REQ_CPM_FW_LA", 1),
            ("ICP_QAT_FW_COMN_VALID_FLAG_GET(r.comn_hdr.hdr_flags)", 1),
            (flags.as_str(), 1),
            ("ICP_QAT_FW_COMN_PTR_TYPE_GET(r.comn_hdr.comn_req_flags) == QAT_COMN_PTR_TYPE_FLAT", 1),
            (
                "ICP_QAT_FW_COMN_CD_FLD_TYPE_GET(r.comn_hdr.comn_req_flags) == QAT_COMN_CD_FLD_TYPE_64BIT_ADR",
                1,
            ),
            ("r.cd_pars.u.s.content_desc_addr", 0x0123_4567_89ab_cd40),
            (
                "r.cd_pars.u.s.content_desc_params_sz * 8 == sizeof(struct icp_qat_hw_ucs_cipher_config) + 8 * c.cipher_key_sz",
                1,
            ),
            ("r.comn_mid.opaque_data", 0x9999_aaaa_bbbb_cccc),
            ("r.comn_mid.src_data_addr", 0x1123_4567_89ab_cdef),
            ("r.comn_mid.dest_data_addr", 0xfedc_ba98_7654_3210),
            ("r.comn_mid.src_length", 0x5555_6666),
            ("r.comn_mid.dst_length", 0x5555_6666),
            ("p.cipher_offset", 0),
            ("p.cipher_length", 0x5555_6666),
            ("p.u.cipher_IV_array[0]", 0xa3a2_a1a0),
            ("p.u.cipher_IV_array[2]", 0xabaa_a9a8),
            ("p.u.cipher_IV_array[3]", 0),
            ("p.spc_aad_offset", 0),
            ("p.spc_aad_sz", 240),
            ("p.spc_aad_addr", 0x2123_4567_89ab_cdef),
            ("p.spc_auth_res_addr", 0x3123_4567_89ab_cdef),
            ("p.spc_auth_res_sz", GCM_TAG_BYTES as u64),
            ("c.cipher_state_sz == ICP_QAT_HW_AES_BLK_SZ >> 3", 1),
            ("c.cipher_key_sz", key_words),
            ("c.cipher_cfg_offset", 0),
            ("ICP_QAT_FW_COMN_CURR_ID_GET(&c) == ICP_QAT_FW_SLICE_CIPHER", 1),
            ("ICP_QAT_FW_COMN_NEXT_ID_GET(&c) == ICP_QAT_FW_SLICE_DRAM_WR", 1),
        ];
        let before = structure("icp_qat_fw_la_bulk_req", "r", &request.to_bytes())
            + "struct icp_qat_fw_la_cipher_20_req_params p; memset(&p, 0, sizeof(p));
               memcpy(&p, &r.serv_specif_rqpars, sizeof(r.serv_specif_rqpars));
               struct icp_qat_fw_cipher_cd_ctrl_hdr c; memcpy(&c, &r.cd_ctrl, sizeof(c));\n";
        compare(&before, &table);
    }
}

/// The headers that can be installed are older than the sixth generation: what they have of it is the flags and the fields' places.
#[test]
#[ignore = "needs QAT_HEADERS"]
fn a_gcm_request_to_the_sixth_generation_has_the_flags_of_the_macros() {
    for encrypts in [true, false] {
        let gcm = Gcm {
            generation: Generation::Gen6,
            encrypts,
            key: GcmKey::Aes256,
            descriptor_addr: 0x40,
            src_addr: 1,
            dst_addr: 2,
            bytes: 3,
            nonce: [4; 12],
            aad_addr: 5,
            aad_bytes: 6,
            tag_addr: 7,
        };
        let flags = gcm_flags("ICP_QAT_FW_LA_GCM_IV_LEN_NOT_12_OCTETS", "ICP_QAT_FW_LA_GCM_PROTO", encrypts);
        let table = [
            (flags.as_str(), 1),
            ("p.spc_aad_sz", 6),
            ("p.spc_auth_res_sz", 0),
            ("c.cipher_state_sz", 2),
            ("c.cipher_key_sz", 4),
            ("c.cipher_cfg_offset | c.next_curr_id", 0),
        ];
        let before = structure("icp_qat_fw_la_bulk_req", "r", &Request::gcm(gcm).to_bytes())
            + "struct icp_qat_fw_la_cipher_20_req_params p; memset(&p, 0, sizeof(p));
               memcpy(&p, &r.serv_specif_rqpars, sizeof(r.serv_specif_rqpars));
               struct icp_qat_fw_cipher_cd_ctrl_hdr c; memcpy(&c, &r.cd_ctrl, sizeof(c));\n";
        compare(&before, &table);
    }
}

#[test]
#[ignore = "needs QAT_HEADERS"]
fn the_configuration_of_gcm_is_that_of_the_macros() {
    for (key, name) in [(GcmKey::Aes128, "AES128"), (GcmKey::Aes256, "AES256")] {
        for (encrypts, direction) in [(true, "ENCRYPT"), (false, "DECRYPT")] {
            let before = structure(
                "icp_qat_hw_ucs_cipher_config",
                "u",
                &gcm_config(Generation::Gen4, key, encrypts, 237),
            );
            let first = format!(
                "u.val == (ICP_QAT_HW_CIPHER_CONFIG_BUILD(ICP_QAT_HW_CIPHER_AEAD_MODE, ICP_QAT_HW_CIPHER_ALGO_{name}, \
                 ICP_QAT_HW_CIPHER_NO_CONVERT, ICP_QAT_HW_CIPHER_{direction}) \
                 | {GCM_TAG_BYTES} << QAT_CIPHER_AEAD_HASH_CMP_LEN_BITPOS)"
            );
            let table = [
                (first.as_str(), 1),
                ("u.reserved[0] == ICP_QAT_HW_CIPHER_CONFIG_BUILD_UPPER(237u)", 1),
                ("u.reserved[1] | u.reserved[2]", 0),
                ("offsetof(struct icp_qat_hw_cipher_algo_blk20, key)", 16),
                ("ICP_QAT_FW_CCM_GCM_AAD_SZ_MAX", GCM_AAD_BYTES_MAX as u64),
            ];
            compare(&before, &table);
        }
    }
}

#[test]
#[ignore = "needs QAT_HEADERS"]
fn a_response_of_the_header_reads_here_as_it_was_made() {
    let set = "struct icp_qat_fw_comp_resp r; memset(&r, 0, sizeof(r));
        r.comn_resp.service_id = 9; r.comn_resp.cmd_id = 2;
        r.comn_resp.hdr_flags = 1 << ICP_QAT_FW_COMN_VALID_FLAG_BITPOS | 1 << ICP_QAT_FW_COMN_CNV_FLAG_BITPOS;
        r.comn_resp.comn_error.xlat_err_code = ERR_CODE_SSM_ERROR;
        r.comn_resp.comn_error.cmp_err_code = ERR_CODE_OVERFLOW_ERROR;
        r.comn_resp.comn_status = 1 << QAT_COMN_RESP_CMP_STATUS_BITPOS | 1 << QAT_COMN_RESP_CMP_END_OF_LAST_BLK_BITPOS;
        r.opaque_data = 0x1020304050607080ull;
        r.comp_resp_pars.input_byte_counter = 0x11121314; r.comp_resp_pars.output_byte_counter = 0x21222324;
        r.comp_resp_pars.curr_crc32 = 0x31323334; r.comp_resp_pars.curr_adler_32 = 0x41424344;
        u64 w[4]; memcpy(w, &r, 32); printf(\"size %zu\\n\", sizeof(r));
        for (int i = 0; i < 4; i++) printf(\"%d %llu\\n\", i, (unsigned long long)w[i]);";
    let theirs = run(set);
    assert_eq!(theirs["size"], Response::SIZE as u64);
    let response = Response::from_words(["0", "1", "2", "3"].map(|index| theirs[index]));
    assert_eq!((response.service(), response.command()), (9, 2));
    assert_eq!(response.flags(), HeaderFlags::VALID | HeaderFlags::CNV);
    assert_eq!((response.translation_error(), response.error()), (ErrorCode::SSM, ErrorCode::OVERFLOW));
    assert_eq!(response.status(), Status::COMPRESSION | Status::END_OF_LAST_BLOCK);
    assert_eq!(response.opaque(), 0x1020_3040_5060_7080);
    assert_eq!((response.consumed(), response.produced()), (0x1112_1314, 0x2122_2324));
    assert_eq!((response.crc32(), response.adler32()), (0x3132_3334, 0x4142_4344));
}

#[test]
#[ignore = "needs QAT_HEADERS"]
fn constants_have_the_values_of_the_headers() {
    let error = |code: ErrorCode| u64::from(code.0.cast_unsigned());
    let register = |Register(offset)| offset;
    let size = RingSize::of(128, 128).expect("a ring");
    let base = 0x7f12_3456_4000_u64;
    let base_macro = format!("BUILD_RING_BASE_ADDR_GEN4({base}ull, {})", size.code());
    let table = [
        ("ICP_QAT_FW_COMP_CMD_STATIC", u64::from(Command::STATIC.0)),
        ("ICP_QAT_FW_COMP_CMD_DYNAMIC", u64::from(Command::DYNAMIC.0)),
        ("ICP_QAT_FW_COMP_CMD_DECOMPRESS", u64::from(Command::DECOMPRESS.0)),
        ("1 << ICP_QAT_FW_COMP_SOP_BITPOS", RequestFlags::SOP.bits().into()),
        ("1 << ICP_QAT_FW_COMP_EOP_BITPOS", RequestFlags::EOP.bits().into()),
        ("1 << ICP_QAT_FW_COMP_BFINAL_BITPOS", RequestFlags::BFINAL.bits().into()),
        ("1 << ICP_QAT_FW_COMP_CNV_BITPOS", RequestFlags::CNV.bits().into()),
        ("1 << ICP_QAT_FW_COMP_CNV_RECOVERY_BITPOS", RequestFlags::CNV_RECOVERY.bits().into()),
        ("1 << ICP_QAT_FW_COMN_CNVNR_FLAG_BITPOS", HeaderFlags::CNV_RECOVERED.bits().into()),
        ("1 << QAT_COMN_RESP_CRYPTO_STATUS_BITPOS", Status::CRYPTO.bits().into()),
        ("1 << QAT_COMN_RESP_PKE_STATUS_BITPOS", Status::PKE.bits().into()),
        ("1 << QAT_COMN_RESP_XLAT_STATUS_BITPOS", Status::TRANSLATION.bits().into()),
        ("1 << QAT_COMN_RESP_UNSUPPORTED_REQUEST_BITPOS", Status::UNSUPPORTED.bits().into()),
        ("(u8)ERR_CODE_INVALID_BLOCK_TYPE", error(ErrorCode::INVALID_BLOCK_TYPE)),
        ("(u8)ERR_CODE_DIS_TOO_FAR_BACK", error(ErrorCode::DIS_TOO_FAR_BACK)),
        ("(u8)ERR_CODE_FATAL_ERROR", error(ErrorCode::FATAL)),
        ("(u8)ERR_CODE_HW_INCOMPLETE_FILE", error(ErrorCode::INCOMPLETE_FILE)),
        ("(u8)ERR_CODE_SSM_ERROR", error(ErrorCode::SSM)),
        ("(u8)ERR_CODE_ENDPOINT_ERROR", error(ErrorCode::ENDPOINT)),
        ("(u8)ERR_CODE_CNV_ERROR", error(ErrorCode::CNV)),
        ("(u8)ERR_CODE_EMPTY_DYM_BLOCK", error(ErrorCode::EMPTY_DYM_BLOCK)),
        ("ADF_RING_BUNDLE_SIZE_GEN4", ring::BANK_BYTES),
        ("ADF_RING_CSR_RING_CONFIG_GEN4 + 4", register(Register::config(1))),
        ("ADF_RING_CSR_RING_LBASE_GEN4 + 4", register(Register::base_low(1))),
        ("ADF_RING_CSR_RING_UBASE_GEN4", register(Register::base_high(0))),
        ("ADF_RING_CSR_RING_HEAD + 4", register(Register::head(1))),
        ("ADF_RING_CSR_RING_TAIL", register(Register::tail(0))),
        ("ADF_RING_CSR_E_STAT", register(Register::E_STAT)),
        ("ADF_RING_CSR_INT_SRCSEL", register(Register::INT_SRCSEL)),
        ("ADF_RING_CSR_INT_COL_EN", register(Register::INT_COL_EN)),
        ("ADF_RING_CSR_INT_COL_CTL", register(Register::INT_COL_CTL)),
        ("ADF_RING_CSR_INT_FLAG_AND_COL", register(Register::INT_FLAG_AND_COL)),
        ("ADF_ARB_RINGSRVARBEN_OFFSET", register(Register::ARBITER_ENABLE)),
        ("ADF_RING_CSR_INT_COL_CTL_ENABLE", ring::COALESCE_ENABLE.into()),
        ("ADF_BANK_INT_SRC_SEL_MASK_GEN4", ring::INT_SRCSEL_RESPONSES.into()),
        ("ADF_RING_EMPTY_SIG", ring::EMPTY.into()),
        ("ADF_RING_SIZE_4M", RingSize::CODE_MAX.into()),
        ("ADF_SIZE_TO_RING_SIZE_IN_BYTES(ADF_RING_SIZE_16K)", size.bytes().into()),
        ("ADF_RING_SIZE_16K", size.code().into()),
        ("BUILD_RING_CONFIG(ADF_RING_SIZE_16K)", size.request_config().into()),
        (
            "BUILD_RESP_RING_CONFIG(ADF_RING_SIZE_16K, ADF_RING_NEAR_WATERMARK_512, ADF_RING_NEAR_WATERMARK_0)",
            size.response_config().into(),
        ),
        (base_macro.as_str(), size.base(base)),
        ("ADF_4XXXIOV_PF2VM_OFFSET", misc::PF2VM),
        ("ADF_4XXXIOV_VM2PF_OFFSET", misc::VM2PF),
        ("ADF_VF2PF_MSGTYPE_INIT", to_pf::INIT.into()),
        ("ADF_VF2PF_MSGTYPE_SHUTDOWN", to_pf::SHUTDOWN.into()),
        ("ADF_VF2PF_MSGTYPE_COMPAT_VER_REQ", to_pf::COMPAT_VER_REQ.into()),
        ("ADF_VF2PF_MSGTYPE_GET_SMALL_BLOCK_REQ", to_pf::SMALL_BLOCK_REQ.into()),
        ("ADF_VF2PF_MSGTYPE_RP_RESET", to_pf::RP_RESET.into()),
        ("ADF_PF2VF_MSGTYPE_RESTARTING", from_pf::RESTARTING.into()),
        ("ADF_PF2VF_MSGTYPE_VERSION_RESP", from_pf::VERSION_RESP.into()),
        ("ADF_PF2VF_MSGTYPE_BLOCK_RESP", from_pf::BLOCK_RESP.into()),
        ("ADF_PF2VF_MSGTYPE_FATAL_ERROR", from_pf::FATAL_ERROR.into()),
        ("ADF_PF2VF_MSGTYPE_RP_RESET_RESP", from_pf::RP_RESET_RESP.into()),
        ("ADF_VF2PF_BLOCK_MSG_CAP_SUMMARY", Block::CAPABILITIES.0.into()),
        ("ADF_VF2PF_BLOCK_MSG_GET_RING_TO_SVC_REQ", Block::RING_MAP.0.into()),
        ("ADF_VF2PF_SMALL_PAYLOAD_SIZE + 2", Block::BYTES_MAX as u64),
        (
            "ADF_PFVF_INT | ADF_PFVF_MSGORIGIN_SYSTEM | ADF_VF2PF_MSGTYPE_RP_RESET << ADF_PFVF_2X_MSGTYPE_SHIFT \
             | 3 << ADF_PFVF_2X_MSGDATA_SHIFT",
            Message::new(to_pf::RP_RESET, 3).0.into(),
        ),
        (
            "7 << ADF_VF2PF_SMALL_BLOCK_BYTE_NUM_SHIFT | 2 | 1 << ADF_VF2PF_BLOCK_REQ_CRC_SHIFT",
            Message::small_block_check(Block::CAPABILITIES, 8).data().into(),
        ),
    ];
    compare("", &table);
}

#[test]
#[ignore = "needs QAT_HEADERS"]
fn configuration_words_are_those_of_the_builders() {
    let depth = |depth| match depth {
        Depth::Level1 => "ICP_QAT_HW_COMP_20_SEARCH_DEPTH_LEVEL_1",
        Depth::Level6 => "ICP_QAT_HW_COMP_20_SEARCH_DEPTH_LEVEL_6",
        Depth::Level9 => "ICP_QAT_HW_COMP_20_SEARCH_DEPTH_LEVEL_9",
    };
    let mut body = String::from(
        "struct icp_qat_hw_comp_20_config_csr_lower l; struct icp_qat_hw_comp_20_config_csr_upper u;\n",
    );
    let mut ours = Vec::new();
    for level in [Depth::Level1, Depth::Level6, Depth::Level9] {
        for (format, min_match, skip, scb, reset, words) in [
            ("ILZ77", 0, 1, 0, 0, ConfigWords::deflate_dynamic(Generation::Gen4, level)),
            ("DEFLATE", 0, 1, 1, 0, ConfigWords::deflate_static(Generation::Gen4, level)),
            ("LZ4", 1, 0, 0, 1, ConfigWords::lz4(Generation::Gen4, level)),
        ] {
            let depth = depth(level);
            let collision = u8::from(level == Depth::Level1);
            writeln!(
                body,
                "memset(&l, 0, sizeof(l)); memset(&u, 0, sizeof(u));
                 l.algo = ICP_QAT_HW_COMP_20_HW_COMP_FORMAT_{format}; l.sd = {depth}; l.edmm = 1; l.abd = 1;
                 l.lllbd = 1; l.mmctrl = {min_match}; l.hash_col = {collision}; l.hash_update = 1;
                 l.skip_ctrl = {skip}; u.scb_ctrl = {scb}; u.scb_mode_reset = {reset};
                 u.lazy = ICP_QAT_HW_COMP_20_CONFIG_CSR_LAZY_PARAM_DEFAULT_VAL;
                 u.nice = ICP_QAT_HW_COMP_20_CONFIG_CSR_NICE_PARAM_DEFAULT_VAL;
                 printf(\"{level:?}{format}l %u\\n\", ICP_QAT_FW_COMP_20_BUILD_CONFIG_LOWER(l));
                 printf(\"{level:?}{format}u %u\\n\", ICP_QAT_FW_COMP_20_BUILD_CONFIG_UPPER(u));"
            )
            .expect("a string grows");
            ours.push((format!("{level:?}{format}"), words));
        }
    }
    let theirs = run(&body);
    for (name, words) in ours {
        assert_eq!(u64::from(words.lower), theirs[&format!("{name}l")], "{name}");
        assert_eq!(u64::from(words.upper), theirs[&format!("{name}u")], "{name}");
    }
}
