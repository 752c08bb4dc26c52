#include "daemon/fetch_unit.hpp"
#include "daemon/unit_file.hpp"

#include "tests/unit/golden.hpp"

namespace capsul {
namespace {

namespace fs = std::filesystem;

DetachedSignature signature(const char* url) {
    return {SourceUrl::parse(url), HostPath::parse("/home/alice/.config/capsul/keys/debian.gpg")};
}

TEST(FetchUnit, IsAsGolden) {
    DiskRequest disk;
    disk.url = SourceUrl::parse("https://example.org/disk.qcow2");
    disk.signature = signature("https://example.org/disk.qcow2.sig");
    const fs::path data = "/home/alice/.local/share/capsul";
    expect_golden(
        "capsul-fetch-debian-12.service",
        fetch_unit({Name::parse("debian-12"), data / "images/fetch/debian-12", data, "/usr/libexec/capsul"},
                   disk));
    DocumentsRequest documents;
    documents.documents.resize(2);
    documents.documents[0].url = SourceUrl::parse("file:///mnt/usb%20stick/100%25/SHA512SUMS");
    documents.documents[0].signature = signature("file:///mnt/usb%20stick/100%25/SHA512SUMS.sign");
    documents.documents[1].url = SourceUrl::parse("https://example.org/index");
    documents.documents[1].clearsigned_by = HostPath::parse("/usr/share/keyrings/x.gpg");
    expect_golden("capsul-fetch-catalogue.service",
                  fetch_unit({Name::parse("catalogue"), "/srv/capsul/fetch/catalogue", "/srv/capsul",
                              "/opt/capsul/libexec"},
                             documents));
}

TEST(FetchUnit, ShowsAFileOfThisHostAndNotWhatLiesBesideIt) {
    DiskRequest disk;
    disk.url = SourceUrl::parse("file:///media/a%22%5Cb:c");
    const std::string unit =
        fetch_unit({Name::parse("x"), "/data/fetch/x", "/data", "/usr/libexec/capsul"}, disk);
    EXPECT_EQ(check_seal(unit), SealState::whole);
    EXPECT_NE(unit.find("\nBindReadOnlyPaths=\"-/media/a\\\"\\\\b:c\"\n"), std::string::npos) << unit;
    EXPECT_NE(unit.find("\nTemporaryFileSystem=%h:ro /data:ro /media:ro\n"), std::string::npos);
    EXPECT_NE(unit.find("\nInaccessiblePaths=-/boot -/srv -/mnt\n"), std::string::npos);
}

TEST(FetchUnit, RefusesAPathThatBreaksItsLine) {
    DiskRequest disk;
    disk.url = SourceUrl::parse("file:///a%0aExecStartPre=x");
    EXPECT_THROW((void)fetch_unit({Name::parse("x"), "/data/fetch/x", "/data", "/usr/libexec/capsul"}, disk),
                 Error);
}

} // namespace
} // namespace capsul
