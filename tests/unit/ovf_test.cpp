#include "daemon/ovf.hpp"

#include "tests/unit/golden.hpp"

namespace capsul {
namespace {

TEST(Ovf, DescriptorIsAsGolden) {
    expect_golden("machine.ovf", ovf_descriptor(Name::parse("debian-12"), "debian-12-disk1.vmdk", 123456789,
                                                Bytes(std::uint64_t{3} << 30U)));
}

TEST(Ovf, ManifestHasALineForEachFile) {
    EXPECT_EQ(ovf_manifest({{"a.ovf", std::string(64, 'a')}, {"b.vmdk", std::string(64, 'b')}}),
              "SHA256(a.ovf)= " + std::string(64, 'a') + "\nSHA256(b.vmdk)= " + std::string(64, 'b') + "\n");
}

} // namespace
} // namespace capsul
