// How images, and the space that they take, look to a person.
#include "cli/image_view.hpp"

#include <gtest/gtest.h>

namespace capsul::cli {
namespace {

constexpr std::uint64_t mib = std::uint64_t{1} << 20U;

Image plain_image() {
    Image image;
    image.name = Name::parse("lab");
    image.digest = Digest::parse("sha256:" + std::string(64, 'a'));
    image.size = Bytes::parse("2G");
    image.disk_usage = 512 * mib;
    image.unique = 512 * mib;
    image.shared = 0;
    image.imported = Timestamp::parse("2026-11-22T03:37:03Z");
    image.unused_since = Timestamp::parse("2026-11-23T00:00:00Z");
    return image;
}

Image pulled_image() {
    Image image = plain_image();
    image.name = Name::parse("debian-12-20261122");
    image.aliases = {Name::parse("debian-12"), Name::parse("stable")};
    image.origin = ImageOrigin{"https://example.org/d.qcow2", Name::parse("debian"),
                               ImageVersion::parse("20261122"), Verification::signature};
    image.pinned = true;
    image.unique = 12 * mib;
    image.shared = 500 * mib;
    image.vms = {Name::parse("db"), Name::parse("web")};
    image.unused_since.reset();
    return image;
}

Image lost_alias() {
    Image image;
    image.name = Name::parse("old");
    image.alias_of = Name::parse("old-1");
    image.broken = "is an alias of old-1, which does not exist";
    return image;
}

std::string table(const std::vector<Image>& images, Format format = Format::table) {
    OutputOptions options;
    options.format = format;
    return render_grid(make_grid(images, image_columns(), options), options);
}

std::string csv(const std::vector<Image>& images, const std::vector<std::string>& columns) {
    OutputOptions options;
    options.format = Format::csv;
    options.columns = columns;
    return render_grid(make_grid(images, image_columns(), options), options);
}

TEST(ImageView, ListsOfPlainImagesNoMoreThanTheyHave) {
    EXPECT_EQ(table({plain_image()}), "NAME  SIZE       USED  IMPORTED              ID            VMS\n"
                                      "lab     2G  512.0 MiB  2026-11-22T03:37:03Z  aaaaaaaaaaaa\n");
}

TEST(ImageView, ListsAliasVersionVerificationAndPinWhereThereAreAny) {
    EXPECT_EQ(
        table({pulled_image()}),
        "NAME                ALIAS             VERSION   SIZE       USED  IMPORTED              VERIFIED   "
        "PINNED  ID            VMS\n"
        "debian-12-20261122  debian-12,stable  20261122    2G  512.0 MiB  2026-11-22T03:37:03Z  signature  "
        "yes     aaaaaaaaaaaa  db,web\n");
}

TEST(ImageView, ListsAnAliasThatLeadsNowhereBesideTheOthers) {
    EXPECT_EQ(csv({plain_image(), lost_alias()}, {"name", "size", "broken"}),
              "name,size,broken\nlab,2147483648,\nold,,\"is an alias of old-1, which does not exist\"\n");
}

TEST(ImageView, GivesSizesAsPlainNumbersToPrograms) {
    EXPECT_EQ(csv({pulled_image()}, {"unique", "shared", "unused", "source"}),
              "unique,shared,unused,source\n12582912,524288000,,debian\n");
}

TEST(ImageView, ShowsAllThatIsKnown) {
    EXPECT_EQ(render_image(pulled_image(), {}),
              "Name:          debian-12-20261122\n"
              "Aliases:       debian-12,stable\n"
              "Digest:        sha256:" +
                  std::string(64, 'a') +
                  "\n"
                  "Size:          2G\n"
                  "Used on disk:  512.0 MiB\n"
                  "Its alone:     12.0 MiB\n"
                  "Shared:        500.0 MiB, with other images\n"
                  "Imported:      2026-11-22T03:37:03Z\n"
                  "Origin:        https://example.org/d.qcow2\n"
                  "Source:        debian\n"
                  "Version:       20261122\n"
                  "Verified:      by signature: the publisher has signed what it is\n"
                  "Pinned:        yes: neither `image prune` nor `image rm` removes it\n"
                  "VMs:           db,web\n");
}

TEST(ImageView, SaysWhatAnImageWasBuiltFrom) {
    Image image = pulled_image();
    image.origin->source.reset();
    image.origin->built_from = "debian bookworm";
    const std::string shown = render_image(image, {});
    EXPECT_NE(shown.find("Origin:        built here from debian bookworm, https://example.org/d.qcow2\n"),
              std::string::npos)
        << shown;
    EXPECT_NE(shown.find("Verified:      by signature: the distribution has signed its packages\n"),
              std::string::npos)
        << shown;
}

TEST(ImageView, SaysInWordsHowWellAnOriginIsKnown) {
    Image image = pulled_image();
    image.origin->verified = Verification::checksum;
    EXPECT_NE(render_image(image, {}).find("Verified:      by checksum: "), std::string::npos);
    image.origin->verified = Verification::none;
    EXPECT_NE(render_image(image, {}).find("Verified:      no: "), std::string::npos);
    EXPECT_EQ(render_image(plain_image(), {}).find("Verified"), std::string::npos);
    EXPECT_NE(render_image(plain_image(), {}).find("Origin:        a file that was imported\n"),
              std::string::npos);
}

TEST(ImageView, ShowsOfWhichVmsDiskItWasMade) {
    Image image = plain_image();
    image.published = PublishedFrom{Name::parse("golden"), Name::parse("debian-12"), true};
    const std::string shown = render_image(image, {});
    EXPECT_NE(shown.find("Origin:        the disk of VM golden, made from debian-12\n"), std::string::npos)
        << shown;
    EXPECT_NE(
        shown.find("Identity:      each VM made from it gets its own at its first boot, by cloud-init\n"),
        std::string::npos)
        << shown;
    image.published->reset = false;
    EXPECT_NE(render_image(image, {}).find("has that of VM golden\n"), std::string::npos);
    image.published->reset = image.published->cleaned = true;
    EXPECT_NE(render_image(image, {}).find("Identity:      none, virt-sysprep has removed it; each VM made"),
              std::string::npos);
}

TEST(ImageView, ShowsSinceWhenOneIsUnused) {
    EXPECT_NE(render_image(plain_image(), {}).find("Unused since:  2026-11-23T00:00:00Z\n"),
              std::string::npos);
}

TEST(ImageView, ShowsAnAliasThatLeadsNowhereAsThat) {
    EXPECT_EQ(render_image(lost_alias(), {}), "Name:      old\n"
                                              "Alias of:  old-1\n"
                                              "Broken:    is an alias of old-1, which does not exist\n");
}

TEST(UsageView, GivesATableForPeopleAndNumbersForPrograms) {
    DiskUsage usage;
    usage.images = {3, 3 * mib};
    usage.in_use = {1, mib};
    usage.unused = {2, 2 * mib};
    usage.free = 7 * mib;
    OutputOptions options;
    options.format = Format::csv;
    options.columns = {"what", "count", "size"};
    EXPECT_EQ(render_grid(make_grid(usage_rows(usage), usage_columns(), options), options),
              "what,count,size\nimages,3,3145728\nin_use,1,1048576\npinned,0,0\naliased,0,0\n"
              "unused,2,2097152\nuploads,0,0\ndownloads,0,0\nvm_disks,0,0\nfree,,7340032\ncapacity,,0\n");
    options = {};
    options.columns = {"what", "count", "size"};
    const std::string text = render_grid(make_grid(usage_rows(usage), usage_columns(), options), options);
    EXPECT_NE(text.find("unused         2  2.0 MiB\n"), std::string::npos) << text;
}

} // namespace
} // namespace capsul::cli
