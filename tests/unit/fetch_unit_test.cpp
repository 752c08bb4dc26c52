#include "daemon/fetch_unit.hpp"
#include "daemon/unit_file.hpp"

#include "tests/unit/golden.hpp"

namespace capsul {
namespace {

namespace fs = std::filesystem;

DetachedSignature signature(const char* url) {
    return {Url::parse(url), HostPath::parse("/home/alice/.config/capsul/keys/debian.gpg")};
}

TEST(FetchUnit, IsAsGolden) {
    DiskRequest disk;
    disk.url = Url::parse("https://example.org/disk.qcow2");
    disk.signature = signature("https://example.org/disk.qcow2.sig");
    const fs::path data = "/home/alice/.local/share/capsul";
    expect_golden(
        "capsul-fetch-debian-12.service",
        fetch_unit({Name::parse("debian-12"), data / "images/fetch/debian-12", data, "/usr/libexec/capsul"},
                   disk));
    CatalogueRequest catalogue;
    catalogue.sources.resize(3);
    catalogue.sources[0].url = Url::parse("file:///mnt/usb%20stick/100%25/");
    catalogue.sources[0].keyring = KeyringPath::parse("/home/alice/.config/capsul/keys/debian.gpg");
    catalogue.sources[1].url = Url::parse("https://example.org/index.json");
    catalogue.sources[2].url = Url::parse("file:///srv/images/index.json");
    catalogue.sources[2].signature = SignatureForm::parse(".asc");
    expect_golden("capsul-fetch-catalogue.service",
                  fetch_unit({Name::parse("catalogue"), "/srv/capsul/fetch/catalogue", "/srv/capsul",
                              "/opt/capsul/libexec"},
                             catalogue));
}

TEST(FetchUnit, ShowsAFileOfThisHostAndNotWhatLiesBesideIt) {
    DiskRequest disk;
    disk.url = Url::parse("file:///media/a%22b:%25c");
    const std::string unit =
        fetch_unit({Name::parse("x"), "/data/fetch/x", "/data", "/usr/libexec/capsul"}, disk);
    EXPECT_EQ(check_seal(unit), SealState::whole);
    EXPECT_NE(unit.find("\nBindReadOnlyPaths=\"-/media/a\\\"b:%%c\"\n"), std::string::npos) << unit;
    EXPECT_NE(unit.find("\nTemporaryFileSystem=%h:ro /data:ro /media:ro\n"), std::string::npos);
    EXPECT_NE(unit.find("\nInaccessiblePaths=-/boot -/srv -/mnt\n"), std::string::npos);
}

} // namespace
} // namespace capsul
