#include "lib/catalogue.hpp"

#include "lib/catalogue_search.hpp"
#include "lib/error.hpp"
#include "lib/file_pattern.hpp"
#include "lib/json.hpp"
#include "lib/one_line.hpp"

#include <algorithm>
#include <gtest/gtest.h>

namespace capsul {
namespace {

const std::string hex256(64, 'a');
const std::string hex512(128, 'b');

TEST(Checksum, IsReadBackTheSame) {
    EXPECT_EQ(Checksum::parse("sha256:" + hex256).to_string(), "sha256:" + hex256);
    EXPECT_EQ(Checksum::of_hex(hex512).to_string(), "sha512:" + hex512);
    EXPECT_EQ(Checksum::of_hex(std::string(64, 'A')), Checksum::of_hex(hex256));
}

TEST(Checksum, RefusesWhatIsNone) {
    for (const std::string& text :
         {std::string(), hex256, "sha256:" + hex512, "sha512:" + hex256, "md5:" + hex256,
          "sha256:" + std::string(64, 'g'), "sha256:" + hex256.substr(1), "SHA256:" + hex256,
          "sha256:" + hex256 + "\n"}) {
        EXPECT_THROW(static_cast<void>(Checksum::parse(text)), Error) << text;
    }
}

TEST(ImageVersion, SortsItsNumbersAsNumbers) {
    EXPECT_LT(ImageVersion::parse("1.9"), ImageVersion::parse("1.10"));
    EXPECT_LT(ImageVersion::parse("44-1.7"), ImageVersion::parse("44-1.10"));
    EXPECT_LT(ImageVersion::parse("9.8-20260525.0"), ImageVersion::parse("9.10-20260101.0"));
    EXPECT_LT(ImageVersion::parse("3.24.2"), ImageVersion::parse("3.24.2-r0"));
    EXPECT_LT(ImageVersion::parse(std::string(40, '9')), ImageVersion::parse("1" + std::string(40, '0')));
    EXPECT_NE(ImageVersion::parse("1.01"), ImageVersion::parse("1.1"));
    EXPECT_EQ(ImageVersion::parse("1.1"), ImageVersion::parse("1.1"));
}

TEST(ImageVersion, RefusesWhatIsNone) {
    for (const std::string& text :
         {std::string(), std::string(65, '1'), std::string("1:2"), std::string("1/2"), std::string("1 2"),
          std::string("1\n"), std::string("\xc3\xa4")}) {
        EXPECT_THROW(static_cast<void>(ImageVersion::parse(text)), Error) << text;
    }
}

TEST(ImageVersion, IsADayWhereThereIsNoOther) {
    EXPECT_EQ(ImageVersion::of_day(Timestamp::parse("2026-11-22T23:59:59Z")).to_string(), "20261122");
}

TEST(ArchitectureWord, IsThatOfUnameOrOfDebian) {
    EXPECT_EQ(find_architecture("amd64"), Architecture::x86_64);
    EXPECT_EQ(find_architecture("x86_64"), Architecture::x86_64);
    EXPECT_EQ(find_architecture("arm64"), Architecture::aarch64);
    EXPECT_EQ(find_architecture("ppc64el"), Architecture::ppc64le);
    EXPECT_FALSE(find_architecture("i386"));
    EXPECT_FALSE(find_architecture(""));
}

TEST(CatalogueName, IsMadeOfWhatPeopleSay) {
    EXPECT_EQ(catalogue_name("Ubuntu 24.04").to_string(), "ubuntu-24-04");
    EXPECT_EQ(catalogue_name("ubuntu/noble/").to_string(), "ubuntu-noble");
    EXPECT_EQ(catalogue_name("debian-12").to_string(), "debian-12");
    for (const char* text : {"", "-", "12", "../..", "\n"}) {
        EXPECT_THROW(static_cast<void>(catalogue_name(text)), Error) << text;
    }
}

TEST(OneLine, HasNoControlCharacters) {
    EXPECT_EQ(one_line("a\x1b[31mb\nc\x7f"), "a?[31mb?c?");
    EXPECT_EQ(one_line("B\xc3\xbcro \xc2\x9b"), "B\xc3\xbcro ?");
    EXPECT_EQ(one_line("abcdef", 3), "abc…");
    EXPECT_EQ(one_line("ab\xc3\xbcx", 3), "ab…");
}

CatalogueEntry entry(const char* name, const char* source, Architecture architecture = Architecture::x86_64) {
    CatalogueEntry one;
    one.name = Name::parse(name);
    one.source = Name::parse(source);
    one.version = ImageVersion::parse("20261122");
    one.title = std::string("An image called ") + name;
    one.architecture = architecture;
    one.url = Url::parse("https://example.org/x.qcow2");
    one.checksum = Checksum::of_hex(hex256);
    return one;
}

Catalogue some_catalogue() {
    Catalogue catalogue;
    catalogue.entries = {entry("debian-13", "debian"),
                         entry("debian-12", "debian"),
                         entry("debian-12", "debian", Architecture::aarch64),
                         entry("ubuntu-24-04", "ubuntu"),
                         entry("riscy", "own", Architecture::riscv64),
                         entry("twice", "own"),
                         entry("twice", "other")};
    catalogue.entries[3].aliases = {Name::parse("ubuntu-noble")};
    catalogue.entries[3].title = "Ubuntu 24.04 LTS (Noble Numbat)";
    return catalogue;
}

std::vector<std::string> names_found(std::string_view word) {
    std::vector<std::string> names;
    for (const CatalogueEntry& one : search(some_catalogue(), word)) {
        names.push_back(one.name.to_string() + " " + std::string(to_string(one.architecture)));
    }
    return names;
}

Error refusal(std::string_view word) {
    const Catalogue catalogue = some_catalogue();
    try {
        const CatalogueEntry& found = find_entry(catalogue, word, Architecture::x86_64);
        ADD_FAILURE() << word << " is " << found.name.to_string();
    } catch (const Error& error) {
        return error;
    }
    return {ErrorCode::internal, ""};
}

std::string found(std::string_view word) {
    const Catalogue catalogue = some_catalogue();
    const CatalogueEntry& one = find_entry(catalogue, word, Architecture::x86_64);
    EXPECT_EQ(one.architecture, Architecture::x86_64);
    return one.source.to_string() + "/" + one.name.to_string();
}

TEST(Search, LooksInNamesAliasesTitlesAndSources) {
    const std::vector<std::string> noble{"ubuntu-24-04 x86_64"};
    EXPECT_EQ(names_found("noble"), noble);
    EXPECT_EQ(names_found("NUMBAT"), noble);
    EXPECT_EQ(names_found("24.04"), noble);
    EXPECT_EQ(names_found("ubuntu/noble"), noble);
    EXPECT_EQ(names_found("own").size(), 2U);
    EXPECT_EQ(names_found("debian"),
              (std::vector<std::string>{"debian-12 x86_64", "debian-12 aarch64", "debian-13 x86_64"}));
    EXPECT_EQ(names_found("").size(), some_catalogue().entries.size());
    EXPECT_TRUE(names_found("plan9").empty());
}

TEST(FindEntry, TakesWhatPeopleType) {
    EXPECT_EQ(found("debian-12"), "debian/debian-12");
    EXPECT_EQ(found("Ubuntu 24.04"), "ubuntu/ubuntu-24-04");
    EXPECT_EQ(found("ubuntu-24.04"), "ubuntu/ubuntu-24-04");
    EXPECT_EQ(found("ubuntu/noble"), "ubuntu/ubuntu-24-04") << "a name of the Linux Containers' kind";
    EXPECT_EQ(found("ubuntu-noble"), "ubuntu/ubuntu-24-04");
    EXPECT_EQ(found("other/twice"), "other/twice");
}

TEST(FindEntry, SaysWhatMayHaveBeenMeant) {
    EXPECT_EQ(refusal("debain-12").code(), ErrorCode::not_found);
    EXPECT_EQ(refusal("debain-12").hint(), "did you mean debian-12?");
    EXPECT_EQ(refusal("debian").hint(), "did you mean debian-12, debian-13?");
    EXPECT_EQ(refusal("plan9-from-outer-space").hint(), "`capsulctl image search` lists what there is");
    EXPECT_EQ(refusal("riscy").hint(), "there is one for riscv64");
    EXPECT_EQ(refusal("twice").code(), ErrorCode::invalid);
    EXPECT_EQ(refusal("twice").hint(), "say which: own/twice, other/twice");
    EXPECT_EQ(refusal("!").code(), ErrorCode::invalid);
}

TEST(NewerVersion, IsWhatTheSameSourceHasForTheSameName) {
    const auto newer_than = [](const char* version, const char* source, const char* name,
                               Architecture architecture = Architecture::x86_64) {
        ImageOrigin origin;
        origin.source = Name::parse(source);
        origin.entry = Name::parse(name);
        origin.version = ImageVersion::parse(version);
        const auto newer = newer_version(some_catalogue(), origin, architecture);
        return newer ? newer->to_string() : "";
    };
    EXPECT_EQ(newer_than("20261121", "debian", "debian-12"), "20261122");
    EXPECT_EQ(newer_than("9", "own", "twice"), "20261122");
    EXPECT_EQ(newer_than("20261122", "debian", "debian-12"), "");
    EXPECT_EQ(newer_than("20261123", "debian", "debian-12"), "") << "the source has gone back";
    EXPECT_EQ(newer_than("1", "own", "debian-12"), "");
    EXPECT_EQ(newer_than("1", "debian", "debian-11"), "");
    EXPECT_EQ(newer_than("1", "debian", "debian-13", Architecture::s390x), "");
    EXPECT_FALSE(newer_version(some_catalogue(), {}, Architecture::x86_64)) << "pulled from a URL";
}

TEST(DatedName, IsTheNameAndTheVersion) {
    CatalogueEntry one = entry("rocky-9", "rocky");
    one.version = ImageVersion::parse("9.8-20260525.0");
    EXPECT_EQ(dated_name(one).to_string(), "rocky-9-9-8-20260525-0");
    one.version = ImageVersion::parse(std::string(64, 'V'));
    EXPECT_EQ(dated_name(one).to_string().size(), 63U);
}

TEST(CatalogueJson, IsReadBackTheSame) {
    Catalogue catalogue = some_catalogue();
    catalogue.entries[0].signature = Url::parse("https://example.org/x.qcow2.sig");
    catalogue.entries[0].size = 1234;
    catalogue.problems = {{Name::parse("own"), "it is gone", std::nullopt}};
    catalogue.fetched = Timestamp::parse("2026-11-22T03:37:03Z");
    EXPECT_EQ(encode(parse<Catalogue>(dump_json(encode(catalogue)))), encode(catalogue));
}

TEST(FilePattern, FindsTheVersionInAName) {
    const FilePattern rocky = FilePattern::parse("Rocky-9-GenericCloud-Base-{version}.{arch}.qcow2");
    EXPECT_EQ(rocky.version_of("Rocky-9-GenericCloud-Base-9.8-20260525.0.x86_64.qcow2", Architecture::x86_64),
              "9.8-20260525.0");
    EXPECT_FALSE(
        rocky.version_of("Rocky-9-GenericCloud-Base-9.8-20260525.0.x86_64.qcow2", Architecture::aarch64));
    EXPECT_FALSE(rocky.version_of("Rocky-9-GenericCloud-Base.latest.x86_64.qcow2", Architecture::x86_64));
    EXPECT_FALSE(rocky.version_of("Rocky-9-GenericCloud-Base-latest.x86_64.qcow2", Architecture::x86_64));
    EXPECT_FALSE(rocky.version_of("Rocky-9-GenericCloud-Base-.x86_64.qcow2", Architecture::x86_64));
    EXPECT_FALSE(rocky.version_of("", Architecture::x86_64));
}

TEST(FilePattern, FindsAVersionInTwoParts) {
    const FilePattern alpine = FilePattern::parse("alpine-{version}-{arch}-cloudinit-r{version}.qcow2");
    EXPECT_EQ(alpine.version_of("alpine-3.24.2-x86_64-cloudinit-r10.qcow2", Architecture::x86_64),
              "3.24.2-10");
    EXPECT_FALSE(alpine.version_of("alpine-3.24.2-x86_64-cloudinit-metal-r0.qcow2", Architecture::x86_64));
    EXPECT_FALSE(alpine.version_of("alpine-3.24.2-x86_64-cloudinit-r0.qcow2.sha512", Architecture::x86_64));
    EXPECT_FALSE(alpine.version_of("alpine-x86_64-cloudinit-r0.qcow2", Architecture::x86_64));
}

TEST(FilePattern, IsJustAFileWithoutAVersion) {
    const FilePattern debian = FilePattern::parse("debian-12-genericcloud-{debian_arch}.qcow2");
    EXPECT_EQ(debian.file_name(Architecture::aarch64), "debian-12-genericcloud-arm64.qcow2");
    EXPECT_EQ(debian.version_of("debian-12-genericcloud-amd64.qcow2", Architecture::x86_64), "");
    EXPECT_FALSE(debian.version_of("debian-12-genericcloud-amd64.raw", Architecture::x86_64));
}

TEST(FilePattern, RefusesWhatIsNoFile) {
    for (const char* text : {"", "a/b", "../a", "a b", "{what}.qcow2", "{version}-{version}-{version}",
                             "{version}{version}", "a\nb", "{arch", ".."}) {
        EXPECT_THROW(static_cast<void>(FilePattern::parse(text)), Error) << text;
    }
}

TEST(SumsPath, NamesOneFileForEachMachineOrImage) {
    EXPECT_EQ(SumsPath::parse("9/images/{arch}/CHECKSUM").path(Architecture::aarch64, "x"),
              "9/images/aarch64/CHECKSUM");
    EXPECT_EQ(SumsPath::parse("cloud/{file}.sha512").path(Architecture::x86_64, "a.qcow2"),
              "cloud/a.qcow2.sha512");
    for (const char* text : {"", "/SHA256SUMS", "../SHA256SUMS", "a//b", "a/", "{file}/SHA256SUMS",
                             "{version}/x", "https://evil.example/x", "a b"}) {
        EXPECT_THROW(static_cast<void>(SumsPath::parse(text)), Error) << text;
    }
}

} // namespace
} // namespace capsul
