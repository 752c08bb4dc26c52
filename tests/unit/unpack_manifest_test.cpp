#include "daemon/unpack/manifest.hpp"

#include "lib/error.hpp"

#include <gtest/gtest.h>

namespace capsul::unpack {
namespace {

const std::string sha1(40, 'a');
const std::string sha256(64, 'b');
const std::string sha512(128, 'c');

TEST(Manifest, HasTheDigestOfEachFile) {
    const auto digests = parse_manifest("SHA1(a.ovf)= " + sha1 + "\r\nSHA256 (b (1).vmdk) = " + sha256 +
                                        "\n\nSHA512(c.nvram)=" + sha512);
    ASSERT_EQ(digests.size(), 3U);
    EXPECT_EQ(digests.at("a.ovf").kind, Hash::Kind::sha1);
    EXPECT_EQ(digests.at("b (1).vmdk").hex, sha256);
    EXPECT_EQ(digests.at("c.nvram").hex, sha512);
}

TEST(Manifest, TakesDigestsInEitherCase) {
    EXPECT_EQ(parse_manifest("SHA1(a)= " + std::string(40, 'A')).at("a").hex, sha1);
}

TEST(Manifest, RefusesAllElse) {
    for (const std::string& line :
         {"MD5(a)= " + std::string(32, 'a'), "SHA256(a)= " + sha1, "SHA1(a)= " + std::string(40, 'g'),
          "SHA1 a = " + sha1, "SHA1(a) " + sha1, "SHA1)a(= " + sha1, std::string("hello"),
          "SHA1(a) x = " + sha1, "=" + sha1}) {
        EXPECT_THROW(static_cast<void>(parse_manifest(line)), Error) << line;
    }
}

} // namespace
} // namespace capsul::unpack
