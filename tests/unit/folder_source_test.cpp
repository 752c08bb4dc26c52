#include "daemon/catalogue/clearsigned.hpp"
#include "daemon/catalogue/listing.hpp"
#include "daemon/catalogue/reader.hpp"
#include "daemon/catalogue/sums.hpp"
#include "lib/error.hpp"
#include "tests/unit/catalogue_sources.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

using test::builtin_source;
using test::hex;

const std::vector<Architecture> intel{Architecture::x86_64};
const Timestamp changed = Timestamp::parse("2026-11-22T09:12:16Z");

// What each publisher writes, cut down to a few lines.

std::string debian_sums() {
    return hex(128, 'd') + "  debian-12-generic-amd64.qcow2\n" + hex(128, 'e') +
           "  debian-12-genericcloud-amd64.qcow2\n" + hex(128, 'f') + "  debian-12-genericcloud-amd64.raw\n" +
           hex(128, 'a') + "  debian-12-genericcloud-arm64.qcow2\n";
}

std::string fedora_sums() {
    return "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n"
           "# Fedora-Cloud-Base-Generic-44-1.7.x86_64.qcow2: 583729152 bytes\n"
           "SHA256 (Fedora-Cloud-Base-Generic-44-1.7.x86_64.qcow2) = " +
           hex(64, '1') +
           "\n# Fedora-Cloud-Base-UEFI-UKI-44-1.7.x86_64.qcow2: 630784000 bytes\n"
           "SHA256 (Fedora-Cloud-Base-UEFI-UKI-44-1.7.x86_64.qcow2) = " +
           hex(64, '2') +
           "\n-----BEGIN PGP SIGNATURE-----\n\niQIzBAEBCAAdFiEE\n=abcd\n-----END PGP SIGNATURE-----\n";
}

std::string rocky_sums() {
    return "SHA256 (Rocky-9-EC2-Base-9.8-20260525.0.x86_64.qcow2) = " + hex(64, '1') +
           "\nSHA256 (Rocky-9-GenericCloud-Base-9.7-20251110.0.x86_64.qcow2) = " + hex(64, '2') +
           "\nSHA256 (Rocky-9-GenericCloud-Base-9.10-20261101.0.x86_64.qcow2) = " + hex(64, '3') +
           "\nSHA256 (Rocky-9-GenericCloud-Base-9.8-20260525.0.x86_64.qcow2) = " + hex(64, '4') +
           "\nSHA256 (Rocky-9-GenericCloud-Base.latest.x86_64.qcow2) = " + hex(64, '3') +
           "\nSHA256 (Rocky-9-GenericCloud-LVM-9.8-20260525.0.x86_64.qcow2) = " + hex(64, '5') + "\n";
}

const char* const alpine_page =
    "<html>\n<head><title>Index of "
    "/alpine/v3.24/releases/cloud/</title></head>\n<body><h1>Index</h1><hr><pre>"
    "<a href=\"../\">../</a>\n"
    "<a href=\"alpine-3.24.2-aarch64-cloudinit-r0.qcow2\">alpine-3.24.2-aarch64-cloudinit-r0.qcow2</a> "
    "01-Oct-2026\n"
    "<a href=\"alpine-3.24.2-x86_64-cloudinit-metal-r0.qcow2\">alpine-3.24.2-x86_64-clo..&gt;</a>  "
    "01-Oct-2026\n"
    "<a href=\"alpine-3.24.2-x86_64-cloudinit-r0.qcow2\">alpine-3.24.2-x86_64-clo..&gt;</a>  01-Oct-2026\n"
    "<a href=\"alpine-3.24.2-x86_64-cloudinit-r2.qcow2\">alpine-3.24.2-x86_64-clo..&gt;</a>  01-Oct-2026\n"
    "<a href=\"alpine-3.24.2-x86_64-cloudinit-r2.qcow2.sha512\">alpine-3.24.2-x86_64-clo..&gt;</a>\n"
    "<a href=\"alpine-3.24.1-x86_64-cloudinit-r9.qcow2\">alpine-3.24.1-x86_64-clo..&gt;</a>  01-Sep-2026\n"
    "</pre><hr></body></html>\n";

/// What is read of the document of a source whose URL ends so.
CatalogueStep read(const ImageSource& source, const std::string& url, const std::string& text,
                   std::optional<Timestamp> modified = changed) {
    for (const CatalogueDocument& document : documents_of(source, intel)) {
        if (document.url.to_string().ends_with(url)) {
            return read_document(source, intel, {document, text, modified});
        }
    }
    ADD_FAILURE() << "there is no document " << url;
    return {};
}

std::string problem_of(const CatalogueStep& step) {
    EXPECT_TRUE(step.entries.empty());
    return step.problems.empty() ? "(none)" : step.problems.front().message;
}

TEST(FolderSource, KnowsDebianByTheDayOfItsChecksums) {
    const CatalogueStep step = read(builtin_source("debian"), "bookworm/latest/SHA512SUMS", debian_sums());
    ASSERT_EQ(step.entries.size(), 1U);
    const CatalogueEntry& entry = step.entries.front();
    EXPECT_EQ(entry.name.to_string(), "debian-12");
    EXPECT_EQ(entry.aliases, std::vector{Name::parse("debian-bookworm")});
    EXPECT_EQ(entry.version.to_string(), "20261122");
    EXPECT_EQ(entry.url.to_string(),
              "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2");
    EXPECT_EQ(entry.checksum, Checksum::of_hex(hex(128, 'e')));
    EXPECT_EQ(entry.verification, Verification::checksum);
    EXPECT_EQ(entry.source.to_string(), "debian");
    EXPECT_TRUE(step.problems.empty());
}

TEST(FolderSource, KnowsFedoraByItsSignedChecksums) {
    const CatalogueStep step =
        read(builtin_source("fedora"), "Fedora-Cloud-44-1.7-x86_64-CHECKSUM", fedora_sums());
    ASSERT_EQ(step.entries.size(), 1U);
    const CatalogueEntry& entry = step.entries.front();
    EXPECT_EQ(entry.version.to_string(), "44-1.7");
    EXPECT_EQ(entry.size, 583729152U);
    EXPECT_EQ(entry.checksum, Checksum::of_hex(hex(64, '1')));
    EXPECT_EQ(entry.verification, Verification::signature);
}

TEST(FolderSource, ChecksOnlyChecksumsWithoutTheKeyring) {
    const ImageSource source = builtin_source("fedora", false);
    const CatalogueStep step = read(source, "Fedora-Cloud-44-1.7-x86_64-CHECKSUM", fedora_sums());
    ASSERT_EQ(step.entries.size(), 1U);
    EXPECT_EQ(step.entries.front().verification, Verification::checksum);
    for (const CatalogueDocument& document : documents_of(source, intel)) {
        EXPECT_FALSE(document.is_signed());
    }
}

TEST(FolderSource, TakesTheNewestOfRocky) {
    const CatalogueStep step = read(builtin_source("rocky"), "9/images/x86_64/CHECKSUM", rocky_sums());
    ASSERT_EQ(step.entries.size(), 1U);
    EXPECT_EQ(step.entries.front().version.to_string(), "9.10-20261101.0");
    EXPECT_EQ(step.entries.front().url.to_string(), "https://dl.rockylinux.org/pub/rocky/9/images/x86_64/"
                                                    "Rocky-9-GenericCloud-Base-9.10-20261101.0.x86_64.qcow2");
    EXPECT_EQ(step.entries.front().checksum, Checksum::of_hex(hex(64, '3')));
}

TEST(FolderSource, LooksForAlpineInTheListingOfItsFolder) {
    const ImageSource source = builtin_source("alpine");
    const CatalogueStep listing = read(source, "v3.24/releases/cloud/", alpine_page);
    ASSERT_EQ(listing.documents.size(), 1U);
    const CatalogueDocument& sums = listing.documents.front();
    EXPECT_EQ(sums.url.to_string(), "https://dl-cdn.alpinelinux.org/alpine/v3.24/releases/cloud/"
                                    "alpine-3.24.2-x86_64-cloudinit-r2.qcow2.sha512");
    EXPECT_EQ(sums.file, "alpine-3.24.2-x86_64-cloudinit-r2.qcow2");

    const CatalogueStep step = read_document(source, intel, {sums, hex(128, '7'), std::nullopt});
    ASSERT_EQ(step.entries.size(), 1U);
    const CatalogueEntry& entry = step.entries.front();
    EXPECT_EQ(entry.version.to_string(), "3.24.2-2");
    EXPECT_EQ(entry.url.to_string(), "https://dl-cdn.alpinelinux.org/alpine/v3.24/releases/cloud/"
                                     "alpine-3.24.2-x86_64-cloudinit-r2.qcow2");
    EXPECT_EQ(entry.checksum, Checksum::of_hex(hex(128, '7')));
    ASSERT_TRUE(entry.signature);
    EXPECT_EQ(entry.signature->file_name(), "alpine-3.24.2-x86_64-cloudinit-r2.qcow2.asc");
    EXPECT_EQ(entry.verification, Verification::signature);
}

TEST(FolderSource, KnowsOpenSuseByOneFileOfOneChecksum) {
    const CatalogueStep step =
        read(builtin_source("opensuse"), "Leap-16.0-Minimal-VM.x86_64-Cloud.qcow2.sha256",
             hex(64, 'c') + " Leap-16.0-Minimal-VM.x86_64-Cloud.qcow2\n");
    ASSERT_EQ(step.entries.size(), 1U);
    EXPECT_EQ(step.entries.front().version.to_string(), "20261122");
    EXPECT_EQ(step.entries.front().verification, Verification::signature);
}

TEST(FolderSource, KnowsTumbleweedByItsSignedChecksum) {
    const ImageSource source = builtin_source("opensuse");
    const CatalogueStep step =
        read(source, "tumbleweed/appliances/openSUSE-Tumbleweed-Minimal-VM.x86_64-Cloud.qcow2.sha256",
             hex(64, 'b') + "  openSUSE-Tumbleweed-Minimal-VM.x86_64-Cloud.qcow2\n");
    ASSERT_EQ(step.entries.size(), 1U);
    EXPECT_EQ(step.entries.front().version.to_string(), "20261122");
    EXPECT_EQ(step.entries.front().verification, Verification::signature);
}

TEST(FolderSource, KnowsArchByItsSignatureOfTheImage) {
    const CatalogueStep step = read(builtin_source("arch"), "cloudimg.qcow2.SHA256",
                                    hex(64, 'c') + "  Arch-Linux-x86_64-cloudimg.qcow2\n");
    ASSERT_EQ(step.entries.size(), 1U);
    EXPECT_EQ(step.entries.front().signature->to_string(),
              "https://geo.mirror.pkgbuild.com/images/latest/Arch-Linux-x86_64-cloudimg.qcow2.sig");
    EXPECT_EQ(step.entries.front().verification, Verification::signature);
}

TEST(FolderSource, SaysWhatIsWrong) {
    const ImageSource debian = builtin_source("debian");
    const std::string sums = "bookworm/latest/SHA512SUMS";
    EXPECT_NE(problem_of(read(debian, sums, hex(128, 'e') + "  other.qcow2\n"))
                  .find("has no debian-12-genericcloud"),
              std::string::npos);
    EXPECT_NE(problem_of(read(debian, sums, "<!DOCTYPE html><html></html>")).find("web page"),
              std::string::npos);
    EXPECT_NE(problem_of(read(debian, sums, "")).find("no checksum"), std::string::npos);
    EXPECT_NE(problem_of(read(debian, sums, std::string(largest_sums + 1, '\n'))).find("more than 1.0 MiB"),
              std::string::npos);
    EXPECT_NE(problem_of(read(debian, sums, debian_sums(), std::nullopt)).find("version"), std::string::npos);
    const std::string twice = hex(128, 'e') + "  debian-12-genericcloud-amd64.qcow2\n";
    EXPECT_NE(
        problem_of(read(debian, sums, debian_sums() + hex(128, 'b') + twice.substr(128))).find("differ"),
        std::string::npos);
    EXPECT_NE(
        problem_of(read(builtin_source("alpine"), "v3.24/releases/cloud/", "<html></html>")).find("no files"),
        std::string::npos);
}

TEST(FolderSource, IsNotLedAstrayByTheNameOfAFile) {
    const ImageSource source = builtin_source("rocky");
    for (const char* name :
         {"../Rocky-9-GenericCloud-Base-9.9-1.x86_64.qcow2", "/etc/passwd",
          "Rocky-9-GenericCloud-Base-9/../../x.x86_64.qcow2", "Rocky-9-GenericCloud-Base-9%2f..x86_64.qcow2",
          "Rocky-9-GenericCloud-Base-9\x1b[31m.x86_64.qcow2",
          "https://evil.example/Rocky-9-GenericCloud-Base-9.x86_64.qcow2"}) {
        const CatalogueStep step =
            read(source, "9/images/x86_64/CHECKSUM", hex(64, 'a') + "  " + name + "\n");
        EXPECT_TRUE(step.entries.empty()) << name;
        EXPECT_EQ(step.problems.size(), 1U) << name;
    }
}

TEST(FolderSource, DoesNotBelieveADocumentOfAnotherImage) {
    const ImageSource source = builtin_source("alpine");
    CatalogueDocument forged;
    forged.id = Name::parse("x");
    forged.url = Url::parse("https://evil.example/alpine-3.24.2-x86_64-cloudinit-r2.qcow2.sha512");
    forged.file = "alpine-3.24.2-x86_64-cloudinit-r2.qcow2";
    EXPECT_TRUE(read_document(source, intel, {forged, hex(128, '7'), changed}).entries.empty());
}

TEST(FolderSource, GetsWhatTellsOfSeveralImagesOnce) {
    ImageConfig config;
    ImageSourceConfig own;
    own.name = Name::parse("own");
    own.kind = SourceKind::folder;
    own.url = Url::parse("https://example.org/images");
    for (const char* name : {"one", "two"}) {
        FolderImage image;
        image.name = Name::parse(name);
        image.file = FilePattern::parse(std::string(name) + "-{version}.qcow2");
        image.sums = SumsPath::parse("SHA256SUMS");
        own.image.push_back(image);
    }
    config.source = {own};
    const ImageSource source = image_sources(config, [](const std::string&) { return true; }).front();
    const auto documents = documents_of(source, intel);
    ASSERT_EQ(documents.size(), 1U);
    EXPECT_EQ(documents.front().url.to_string(), "https://example.org/images/SHA256SUMS");
    const CatalogueStep step =
        read_document(source, intel,
                      {documents.front(),
                       hex(64, 'a') + " *one-1.qcow2\n" + hex(64, 'b') + " *./two-2.qcow2\n", std::nullopt});
    ASSERT_EQ(step.entries.size(), 2U);
    EXPECT_EQ(step.entries[1].url.to_string(), "https://example.org/images/two-2.qcow2");
}

TEST(Sums, TakesTheStrongerOfTwoKinds) {
    const auto sums = parse_sums("SHA512 (a) = " + hex(128, 'b') + "\nSHA256 (a) = " + hex(64, 'a') +
                                 "\nMD5 (a) = " + hex(32, 'c') + "\nSHA1 (a) = " + hex(40, 'c') + "\n");
    ASSERT_EQ(sums.size(), 1U);
    EXPECT_EQ(sums.at("a").checksum, Checksum::of_hex(hex(128, 'b')));
}

TEST(Sums, PassesOverWhatIsNoChecksum) {
    const auto sums =
        parse_sums("# a comment\r\n\r\n" + hex(64, 'a') + "  a b (c)\r\nSHA256 (x = " + hex(64, 'a') +
                   "\nSHA256 (y) = " + hex(128, 'a') + "\nSHA256 () = \nnonsense\n# z: 12 bytes\n" + "\\" +
                   hex(64, 'a') + "  a\\nb\n# a b (c): 99 bytes\n# a b (c): 9x bytes\n");
    ASSERT_EQ(sums.size(), 1U);
    EXPECT_EQ(sums.at("a b (c)").size, 99U);
}

TEST(Sums, BoundsTheirLines) {
    std::string many;
    for (int i = 0; i < 30'000; ++i) {
        many += "#\n";
    }
    EXPECT_THROW(static_cast<void>(parse_sums(many + hex(64, 'a'))), Error);
}

TEST(Clearsigned, GivesWhatIsInside) {
    EXPECT_EQ(clearsigned_text("-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA512\r\n\r\n- -dash\r\nb\r\n"
                               "-----BEGIN PGP SIGNATURE-----\r\n\r\nx\r\n-----END PGP SIGNATURE-----\r\n"),
              "-dash\nb\n");
    EXPECT_EQ(without_signature("plain"), "plain");
}

TEST(Clearsigned, RefusesWhatMayNotBeSigned) {
    const std::string begin = "-----BEGIN PGP SIGNED MESSAGE-----\n";
    const std::string end = "-----BEGIN PGP SIGNATURE-----\n\nx\n-----END PGP SIGNATURE-----\n";
    EXPECT_EQ(clearsigned_text(begin + "\na\n" + end), "a\n");
    for (const std::string& text :
         {std::string(), begin, begin + "\na\n", begin + "a\n\n" + end, begin + "Hash: a b/c\n\na\n" + end,
          begin + "Comment: x\n\na\n" + end, begin + "\n-a\n" + end, begin + "\na\n" + end + "more\n",
          begin + "\na\n" + end + begin + "\nb\n" + end, "before\n" + begin + "\na\n" + end,
          begin + "\na\n-----BEGIN PGP SIGNATURE-----\n\nx\n"}) {
        EXPECT_THROW(static_cast<void>(clearsigned_text(text)), Error) << text;
    }
}

TEST(Listing, NamesPlainFilesOnly) {
    const auto files =
        parse_listing("<a href=\"a.qcow2\">a</a><a href='./b.qcow2'>b</a><a href=\"../c\">c</a>"
                      "<a href=\"/d\">d</a><a href=\"https://e/f\">e</a><a href=\"?C=M\">g</a>"
                      "<a href=h.qcow2>h</a><a href=\"sub/\">i</a><a href=\"j.qcow2");
    EXPECT_EQ(files, (std::set<std::string>{"a.qcow2", "b.qcow2"}));
}

TEST(Listing, IsBounded) {
    std::string page;
    for (int i = 0; i < 20'000; ++i) {
        page += "<a href=\"" + std::to_string(i) + "\">";
    }
    EXPECT_THROW(static_cast<void>(parse_listing(page)), Error);
    EXPECT_THROW(static_cast<void>(parse_listing(std::string(largest_listing + 1, 'a'))), Error);
    EXPECT_THROW(static_cast<void>(parse_listing("href=")), Error);
}

} // namespace
} // namespace capsul
