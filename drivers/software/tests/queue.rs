//! The CPU engine through the runtime, against oracles that are not ours.
use svala::Runtime;
use svala_software::{SoftwareConfig, SoftwareQueue};

#[test]
fn smoke() {
    let runtime =
        Runtime::builder().queue(SoftwareQueue::new(SoftwareConfig::default()).unwrap()).build().unwrap();
    for len in [1, 4096, 200 << 10, (16 << 20) + 3] {
        let src: Vec<u8> = (0..len).map(|i: usize| (i * 7 / 3) as u8).collect();
        let done = pollster::block_on(runtime.copy(src.clone(), vec![0; len])).unwrap();
        assert!(done.buffers.0 == done.buffers.1);
        let crc = pollster::block_on(runtime.crc32c(src.clone(), 0)).unwrap().value;
        assert_eq!(crc, crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&src));
        let z = pollster::block_on(runtime.deflate(
            src.clone(),
            vec![0; len + len / 2 + 100],
            Default::default(),
        ))
        .unwrap();
        let i = pollster::block_on(runtime.inflate(z.buffers.1, vec![0; len], svala::Check::Crc32)).unwrap();
        assert!(i.buffers.1 == src);
    }
}
